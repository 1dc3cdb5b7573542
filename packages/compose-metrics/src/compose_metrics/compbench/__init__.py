"""The categories of T2I-CompBench over any detector, question answerer and depth estimator."""

from compose_metrics.compbench.action import NonSpatial
from compose_metrics.compbench.attributes import AttributeBinding
from compose_metrics.compbench.depth_relations import Spatial3D
from compose_metrics.compbench.judgement import Compat, Fault, Judgement
from compose_metrics.compbench.mixed import Complex, aspect
from compose_metrics.compbench.numeracy import Numeracy
from compose_metrics.compbench.phrases import Counted, Related
from compose_metrics.compbench.protocols import (
    DepthEstimator,
    Detections,
    Detector,
    TextImageScorer,
    VQAScorer,
)
from compose_metrics.compbench.spatial import Spatial2D

__all__ = [
    "AttributeBinding",
    "Compat",
    "Complex",
    "Counted",
    "DepthEstimator",
    "Detections",
    "Detector",
    "Fault",
    "Judgement",
    "NonSpatial",
    "Numeracy",
    "Related",
    "Spatial2D",
    "Spatial3D",
    "TextImageScorer",
    "VQAScorer",
    "aspect",
]
