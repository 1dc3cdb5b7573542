"""Compose pretrained diffusion models.

The public nouns live in modules named after them (``compose_core.denoiser``, ``.compose``,
``.sampler``...). The most used ones can also be taken from here. They are looked up on first use,
so that ``import compose_core`` does not import torch.
"""

from typing import TYPE_CHECKING

from compose_core import lazy
from compose_core._version import __version__

if TYPE_CHECKING:
    from compose_core.compose import Composer, Consensus, Product, Regional
    from compose_core.denoiser import Bound, Denoiser, Gaussian, Guided, Mixture, Network
    from compose_core.encoded import Encoded
    from compose_core.errors import ComposeError
    from compose_core.evaluate import Distributed, Evaluator, Local
    from compose_core.method import Method, Plan
    from compose_core.pipeline import ComposePipeline
    from compose_core.prediction import Prediction
    from compose_core.sampler import DDIM, Euler, FromDiffusers, Heun, Sampler
    from compose_core.scene import Scene, load_scene
    from compose_core.schedule import DiscreteVP, KarrasVE, Level, Rectified, Schedule
    from compose_core.views import Blend, View, Whole, Window, cover

_HOME = {
    "compose": ("Composer", "Consensus", "Product", "Regional"),
    "denoiser": ("Bound", "Denoiser", "Gaussian", "Guided", "Mixture", "Network"),
    "encoded": ("Encoded",),
    "errors": ("ComposeError",),
    "evaluate": ("Distributed", "Evaluator", "Local"),
    "method": ("Method", "Plan"),
    "pipeline": ("ComposePipeline",),
    "prediction": ("Prediction",),
    "sampler": ("DDIM", "Euler", "FromDiffusers", "Heun", "Sampler"),
    "scene": ("Scene", "load_scene"),
    "schedule": ("DiscreteVP", "KarrasVE", "Level", "Rectified", "Schedule"),
    "views": ("Blend", "View", "Whole", "Window", "cover"),
}

__all__ = [
    "DDIM",
    "Blend",
    "Bound",
    "ComposeError",
    "ComposePipeline",
    "Composer",
    "Consensus",
    "Denoiser",
    "DiscreteVP",
    "Distributed",
    "Encoded",
    "Euler",
    "Evaluator",
    "FromDiffusers",
    "Gaussian",
    "Guided",
    "Heun",
    "KarrasVE",
    "Level",
    "Local",
    "Method",
    "Mixture",
    "Network",
    "Plan",
    "Prediction",
    "Product",
    "Rectified",
    "Regional",
    "Sampler",
    "Scene",
    "Schedule",
    "View",
    "Whole",
    "Window",
    "__version__",
    "cover",
    "load_scene",
]

__getattr__, __dir__ = lazy.attach(__name__, _HOME)
