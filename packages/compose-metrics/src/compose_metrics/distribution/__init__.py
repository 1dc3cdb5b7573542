"""Distances between sets of pictures: FID, KID, Inception Score, precision and recall."""

from compose_metrics.distribution.fid import FID, FIDInfinity, StreamedFID
from compose_metrics.distribution.inception_score import InceptionScore
from compose_metrics.distribution.infinity import Extrapolation, at_infinity
from compose_metrics.distribution.kid import KID, polynomial_mmd
from compose_metrics.distribution.prdc import Coverage, Density, Precision, Recall

__all__ = [
    "FID",
    "KID",
    "Coverage",
    "Density",
    "Extrapolation",
    "FIDInfinity",
    "InceptionScore",
    "Precision",
    "Recall",
    "StreamedFID",
    "at_infinity",
    "polynomial_mmd",
]
