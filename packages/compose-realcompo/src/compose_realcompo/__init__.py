"""RealCompo: a realistic model and a spatially aware one, balanced pixel by pixel.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_realcompo`` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

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


def __getattr__(name: str) -> Any:
    """Import the module that holds ``name`` and keep what was found."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'compose_realcompo' has no attribute {name!r}")
    value = getattr(import_module(f"compose_realcompo.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
