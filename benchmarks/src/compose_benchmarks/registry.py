"""Suites and the methods that can run them, found through entry points."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from compose_core.errors import ComposeError, SceneError, UsageError
from compose_core.method import by_name, methods
from compose_core.method import find as find_method
from compose_core.scene import Scene, check

if TYPE_CHECKING:
    from compose_benchmarks.suite import Suite

__all__ = ["GROUP", "contenders", "find", "suites", "usual"]

GROUP = "compose.suites"
"""The entry point group: `name = "package.module:SUITE"`."""


def suites() -> dict[str, EntryPoint]:
    """Every suite there is, by name, not yet imported.

    Raises:
        ComposeError: Two packages announce the same name.
    """
    return by_name(entry_points(group=GROUP), "suite")


def find(name: str) -> Suite:
    """The suite of that name.

    Raises:
        UsageError: There is none; the message names those there are.
        ComposeError: Its package is broken.
    """
    from compose_benchmarks.suite import Suite

    known = suites()
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise UsageError(
            f"there is no suite {name!r}",
            expected=", ".join(known) or "an installed package with suites",
            remedy=f"did you mean {near[0]!r}?" if near else "see `compose bench list`",
        )
    try:
        loaded: object = known[name].load()
    except Exception as error:  # whatever another package does while it is imported
        raise ComposeError(
            f"the suite {name!r} cannot be imported",
            got=f"{type(error).__name__}: {error}",
            expected=known[name].value,
        ) from error
    if not isinstance(loaded, Suite) or loaded.name != name:
        raise ComposeError(
            f"the entry point {name!r} is no suite of this name", got=known[name].value
        )
    return loaded


def contenders(scene: Scene) -> tuple[list[str], dict[str, str]]:
    """Names of the methods that can draw a scene, and why each of the others cannot."""
    able: list[str] = []
    unable: dict[str, str] = {}
    for name in methods():
        kind = find_method(name)
        try:
            check(scene, kind.accepts, kind.needs, name)
        except SceneError as error:
            unable[name] = error.what
        else:
            able.append(name)
    return able, unable


def usual(suite: Suite) -> tuple[list[str], dict[str, str]]:
    """Names of the methods that run a suite unless others are named, and why the rest do not.

    Rivals of other suites are left out without a word.
    """
    able, unable = contenders(suite.items(1)[0].scene)
    elsewhere = {name for other in suites() if other != suite.name for name in find(other).rivals}
    apart = elsewhere - set(suite.rivals)
    left = {name: why for name, why in unable.items() if name not in apart}
    return [name for name in able if name not in apart], left
