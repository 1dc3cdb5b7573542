"""Coordinators: trained networks that make parts of a large object agree."""

from compose_dde.coordinator.config import CLEVR, MAPS, MUSIC, CoordinatorConfig
from compose_dde.coordinator.interface import Coordinator, Heard
from compose_dde.coordinator.recurrent import RNN, RNN_OVERLAPS, Recurrent
from compose_dde.coordinator.transformer import Transformer

__all__ = [
    "CLEVR",
    "MAPS",
    "MUSIC",
    "RNN",
    "RNN_OVERLAPS",
    "Coordinator",
    "CoordinatorConfig",
    "Heard",
    "Recurrent",
    "Transformer",
]
