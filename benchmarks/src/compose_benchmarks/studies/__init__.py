"""Studies: one method under changing settings, where suites compare methods under one."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from compose_core.errors import UsageError

if TYPE_CHECKING:
    from compose_benchmarks.studies.study import Study

__all__ = ["NAMES", "find"]

NAMES = ("cnc-lambda", "cnc-leakage")
"""Every study there is; each is the `STUDY` of the module of its name."""


def find(name: str) -> Study:
    """The study of that name.

    Raises:
        UsageError: There is none; the message names those there are.
    """
    if name not in NAMES:
        near = get_close_matches(name, NAMES, 1)
        raise UsageError(
            f"there is no study {name!r}",
            expected=", ".join(NAMES),
            remedy=f"did you mean {near[0]!r}?" if near else "",
        )
    return import_module(f"{__name__}.{name.replace('-', '_')}").STUDY
