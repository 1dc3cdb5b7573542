"""Metrics for composed pictures and sound.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_metrics`` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from compose_metrics._version import __version__

if TYPE_CHECKING:
    from compose_metrics.features import Extractor, FeatureMetrics, Features
    from compose_metrics.intervals import paired_bootstrap, wilson
    from compose_metrics.metric import Metric
    from compose_metrics.result import Interval, Result, Source

_HOME = {
    "features": ("Extractor", "FeatureMetrics", "Features"),
    "intervals": ("paired_bootstrap", "wilson"),
    "metric": ("Metric",),
    "result": ("Interval", "Result", "Source"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Extractor",
    "FeatureMetrics",
    "Features",
    "Interval",
    "Metric",
    "Result",
    "Source",
    "__version__",
    "paired_bootstrap",
    "wilson",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds ``name`` and keep what was found."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'compose_metrics' has no attribute {name!r}")
    value = getattr(import_module(f"compose_metrics.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
