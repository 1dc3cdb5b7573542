"""RealCompo: a realistic model and a spatially aware one, balanced pixel by pixel.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_realcompo`` does not import torch.
"""

from typing import TYPE_CHECKING

from compose_core import lazy
from compose_realcompo._version import __version__

if TYPE_CHECKING:
    from compose_realcompo.balancer import Balancer, Branch
    from compose_realcompo.gated import add_gates
    from compose_realcompo.grounding import GatedUNet
    from compose_realcompo.method import RealCompoMethod
    from compose_realcompo.options import Options
    from compose_realcompo.pipeline import RealCompoPipeline

_HOME = {
    "balancer": ("Balancer", "Branch"),
    "gated": ("add_gates",),
    "grounding": ("GatedUNet",),
    "method": ("RealCompoMethod",),
    "options": ("Options",),
    "pipeline": ("RealCompoPipeline",),
}

__all__ = [
    "Balancer",
    "Branch",
    "GatedUNet",
    "Options",
    "RealCompoMethod",
    "RealCompoPipeline",
    "__version__",
    "add_gates",
]

__getattr__, __dir__ = lazy.attach(__name__, _HOME)
