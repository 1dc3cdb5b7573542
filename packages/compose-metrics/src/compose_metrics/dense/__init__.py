"""Metrics of dense maps: depth, order, segmentation, normals, edges; and of positions."""

from compose_metrics.dense.depth import DepthMAE, DepthRMSE
from compose_metrics.dense.fidelity import EdgeF1, NormalAngle
from compose_metrics.dense.front import FrontSeen, Undecided, in_front
from compose_metrics.dense.order import DepthOrder, OcclusionIoU, contested
from compose_metrics.dense.position import PositionAccuracy, placed
from compose_metrics.dense.segmentation import MeanIoU, PixelAccuracy, confusion

__all__ = [
    "DepthMAE",
    "DepthOrder",
    "DepthRMSE",
    "EdgeF1",
    "FrontSeen",
    "MeanIoU",
    "NormalAngle",
    "OcclusionIoU",
    "PixelAccuracy",
    "PositionAccuracy",
    "Undecided",
    "confusion",
    "contested",
    "in_front",
    "placed",
]
