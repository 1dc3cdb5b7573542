"""Trials: experiments whose samples are no pictures of scenes, such as music, measured in tables.

A trial tries every method under every setting and writes one record of all of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from compose_core.errors import UsageError

if TYPE_CHECKING:
    from compose_benchmarks.trials.trial import Trial

__all__ = ["NAMES", "find"]

NAMES = ("dde-music", "dde-length", "dde-positions", "dde-maps")
"""Every trial there is; each is the `TRIAL` of the module of its name."""


def find(name: str) -> Trial:
    """The trial of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in NAMES:
        raise UsageError(f"there is no trial {name!r}", expected=", ".join(NAMES))
    return import_module(f"{__name__}.{name.replace('-', '_')}").TRIAL
