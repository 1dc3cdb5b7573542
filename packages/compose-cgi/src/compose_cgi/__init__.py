"""Compositional generative inference: canvases, views of them, and models of what is seen.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_cgi`` does not import torch.
"""

from typing import TYPE_CHECKING

from compose_cgi._version import __version__
from compose_core import lazy

if TYPE_CHECKING:
    from compose_cgi.collage import Collage
    from compose_cgi.graph import Graph, Observation, Variable
    from compose_cgi.inference import Inference
    from compose_cgi.method import CGIMethod
    from compose_cgi.options import Options
    from compose_cgi.pipeline import CGIPipeline

_HOME = {
    "collage": ("Collage",),
    "graph": ("Graph", "Observation", "Variable"),
    "inference": ("Inference",),
    "method": ("CGIMethod",),
    "options": ("Options",),
    "pipeline": ("CGIPipeline",),
}

__all__ = [
    "CGIMethod",
    "CGIPipeline",
    "Collage",
    "Graph",
    "Inference",
    "Observation",
    "Options",
    "Variable",
    "__version__",
]

__getattr__, __dir__ = lazy.attach(__name__, _HOME)
