"""Metrics for composed pictures and sound.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_metrics`` does not import torch.
"""

from typing import TYPE_CHECKING

from compose_core import lazy
from compose_metrics._version import __version__

if TYPE_CHECKING:
    from compose_metrics.aesthetic import AestheticScore
    from compose_metrics.alignment.clip_score import CLIPScore
    from compose_metrics.alignment.localized import LocalizedSemantics
    from compose_metrics.audio.ears import Ears
    from compose_metrics.audio.fad import FAD, FADInfinity, SubFAD
    from compose_metrics.audio.seams import SeamAudibility
    from compose_metrics.audio.separation import SISDRi
    from compose_metrics.audio.structure import StructureAgreement
    from compose_metrics.dense import (
        DepthMAE,
        DepthOrder,
        MeanIoU,
        OcclusionIoU,
        PixelAccuracy,
        PositionAccuracy,
    )
    from compose_metrics.distribution import (
        FID,
        KID,
        Coverage,
        Density,
        FIDInfinity,
        InceptionScore,
        Precision,
        Recall,
        StreamedFID,
    )
    from compose_metrics.features import Extractor, FeatureMetrics, Features
    from compose_metrics.frechet import Moments, frechet_distance
    from compose_metrics.intervals import paired_bootstrap, wilson
    from compose_metrics.metric import Metric
    from compose_metrics.result import Interval, Result, Source, comparable
    from compose_metrics.similarity.lpips import LPIPS
    from compose_metrics.similarity.ssim import SSIM
    from compose_metrics.statistics import Header, Statistics, manifest

_HOME = {
    "aesthetic": ("AestheticScore",),
    "alignment.clip_score": ("CLIPScore",),
    "alignment.localized": ("LocalizedSemantics",),
    "audio.ears": ("Ears",),
    "audio.fad": ("FAD", "FADInfinity", "SubFAD"),
    "audio.seams": ("SeamAudibility",),
    "audio.separation": ("SISDRi",),
    "audio.structure": ("StructureAgreement",),
    "dense": (
        "DepthMAE",
        "DepthOrder",
        "MeanIoU",
        "OcclusionIoU",
        "PixelAccuracy",
        "PositionAccuracy",
    ),
    "distribution": (
        "FID",
        "KID",
        "Coverage",
        "Density",
        "FIDInfinity",
        "InceptionScore",
        "Precision",
        "Recall",
        "StreamedFID",
    ),
    "features": ("Extractor", "FeatureMetrics", "Features"),
    "frechet": ("Moments", "frechet_distance"),
    "intervals": ("paired_bootstrap", "wilson"),
    "metric": ("Metric",),
    "result": ("Interval", "Result", "Source", "comparable"),
    "similarity.lpips": ("LPIPS",),
    "similarity.ssim": ("SSIM",),
    "statistics": ("Header", "Statistics", "manifest"),
}

__all__ = [
    "AestheticScore",
    "CLIPScore",
    "Coverage",
    "Density",
    "DepthMAE",
    "DepthOrder",
    "Ears",
    "Extractor",
    "FAD",
    "FADInfinity",
    "FID",
    "FIDInfinity",
    "FeatureMetrics",
    "Features",
    "Header",
    "InceptionScore",
    "Interval",
    "KID",
    "LPIPS",
    "LocalizedSemantics",
    "MeanIoU",
    "Metric",
    "Moments",
    "OcclusionIoU",
    "PixelAccuracy",
    "PositionAccuracy",
    "Precision",
    "Recall",
    "Result",
    "SISDRi",
    "SSIM",
    "SeamAudibility",
    "Source",
    "Statistics",
    "StreamedFID",
    "StructureAgreement",
    "SubFAD",
    "__version__",
    "comparable",
    "frechet_distance",
    "manifest",
    "paired_bootstrap",
    "wilson",
]

__getattr__, __dir__ = lazy.attach(__name__, _HOME)
