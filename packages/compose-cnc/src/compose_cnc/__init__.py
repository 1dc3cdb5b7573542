"""Compose and Conquer: objects ordered in depth, looks kept to regions.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_cnc`` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from compose_cnc._version import __version__

if TYPE_CHECKING:
    from compose_cnc.exemplars import ExemplarEncoder
    from compose_cnc.folder import Adapter, load_adapter, save_adapter
    from compose_cnc.method import CnCMethod
    from compose_cnc.model import GlobalFuser, LocalFuser
    from compose_cnc.network import CnCNetwork
    from compose_cnc.pipeline import CnCPipeline

_HOME = {
    "exemplars": ("ExemplarEncoder",),
    "folder": ("Adapter", "load_adapter", "save_adapter"),
    "method": ("CnCMethod",),
    "model": ("GlobalFuser", "LocalFuser"),
    "network": ("CnCNetwork",),
    "pipeline": ("CnCPipeline",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Adapter",
    "CnCMethod",
    "CnCNetwork",
    "CnCPipeline",
    "ExemplarEncoder",
    "GlobalFuser",
    "LocalFuser",
    "__version__",
    "load_adapter",
    "save_adapter",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds ``name`` and keep what was found."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'compose_cnc' has no attribute {name!r}")
    value = getattr(import_module(f"compose_cnc.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
