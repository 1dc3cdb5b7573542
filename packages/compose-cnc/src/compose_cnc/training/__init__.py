"""Depth disentanglement training: a local fuser, a global fuser, then both together.

`accelerate launch -m compose_cnc.training --help` trains for a Stable Diffusion folder on what
`compose cnc triplets` made; recipes for other models and data build the `DisentanglementTask`
themselves and hand it to `compose_core.train`.
"""

from compose_cnc.training.conditions import CONDITIONS, Dropout
from compose_cnc.training.forward import Forward, Stage
from compose_cnc.training.samples import Samples, TripletSamples
from compose_cnc.training.task import DisentanglementTask

__all__ = [
    "CONDITIONS",
    "DisentanglementTask",
    "Dropout",
    "Forward",
    "Samples",
    "Stage",
    "TripletSamples",
]
