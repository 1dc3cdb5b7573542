"""Metrics of dense maps: depth, order, segmentation, normals, edges; and of positions."""

from compose_metrics.dense.depth import DepthMAE, DepthRMSE
from compose_metrics.dense.fidelity import EdgeF1, NormalAngle
from compose_metrics.dense.order import DepthOrder, OcclusionIoU, contested
from compose_metrics.dense.position import PositionAccuracy, placed
from compose_metrics.dense.segmentation import MeanIoU, PixelAccuracy, confusion

__all__ = [
    "DepthMAE",
    "DepthOrder",
    "DepthRMSE",
    "EdgeF1",
    "MeanIoU",
    "NormalAngle",
    "OcclusionIoU",
    "PixelAccuracy",
    "PositionAccuracy",
    "confusion",
    "contested",
    "placed",
]
