"""Metrics for composed pictures and sound.

The most used names can be taken from here. They are looked up on first use, so that
``import compose_metrics`` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from compose_metrics._version import __version__

if TYPE_CHECKING:
    from compose_metrics.distribution import (
        FID,
        KID,
        Coverage,
        Density,
        FIDInfinity,
        InceptionScore,
        Precision,
        Recall,
        StreamedFID,
    )
    from compose_metrics.features import Extractor, FeatureMetrics, Features
    from compose_metrics.frechet import Moments, frechet_distance
    from compose_metrics.intervals import paired_bootstrap, wilson
    from compose_metrics.metric import Metric
    from compose_metrics.result import Interval, Result, Source, comparable
    from compose_metrics.statistics import Header, Statistics, manifest

_HOME = {
    "distribution": (
        "FID",
        "KID",
        "Coverage",
        "Density",
        "FIDInfinity",
        "InceptionScore",
        "Precision",
        "Recall",
        "StreamedFID",
    ),
    "features": ("Extractor", "FeatureMetrics", "Features"),
    "frechet": ("Moments", "frechet_distance"),
    "intervals": ("paired_bootstrap", "wilson"),
    "metric": ("Metric",),
    "result": ("Interval", "Result", "Source", "comparable"),
    "statistics": ("Header", "Statistics", "manifest"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "FID",
    "KID",
    "Coverage",
    "Density",
    "Extractor",
    "FIDInfinity",
    "FeatureMetrics",
    "Features",
    "Header",
    "InceptionScore",
    "Interval",
    "Metric",
    "Moments",
    "Precision",
    "Recall",
    "Result",
    "Source",
    "Statistics",
    "StreamedFID",
    "__version__",
    "comparable",
    "frechet_distance",
    "manifest",
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
