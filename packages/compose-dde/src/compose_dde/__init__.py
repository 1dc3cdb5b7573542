"""Diffusion domain expansion: a learned coordinator of pretrained denoisers.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_dde`` does not import torch.
"""

from typing import TYPE_CHECKING

from compose_core import lazy
from compose_dde._version import __version__

if TYPE_CHECKING:
    from compose_dde.composer import DDE, guided
    from compose_dde.coordinator import CoordinatorConfig, Recurrent, Transformer
    from compose_dde.domain import Domain
    from compose_dde.folder import Expansion, load_expansion, save_expansion
    from compose_dde.method import DDEMethod
    from compose_dde.pipeline import MapsPipeline, MusicPipeline, PositionsPipeline

_HOME = {
    "composer": ("DDE", "guided"),
    "coordinator": ("CoordinatorConfig", "Recurrent", "Transformer"),
    "domain": ("Domain",),
    "folder": ("Expansion", "load_expansion", "save_expansion"),
    "method": ("DDEMethod",),
    "pipeline": ("MapsPipeline", "MusicPipeline", "PositionsPipeline"),
}

__all__ = [
    "DDE",
    "CoordinatorConfig",
    "DDEMethod",
    "Domain",
    "Expansion",
    "MapsPipeline",
    "MusicPipeline",
    "PositionsPipeline",
    "Recurrent",
    "Transformer",
    "__version__",
    "guided",
    "load_expansion",
    "save_expansion",
]

__getattr__, __dir__ = lazy.attach(__name__, _HOME)
