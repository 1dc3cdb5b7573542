"""Names that people write, checked: an unknown one is answered with the nearest known one."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from compose_core.errors import SceneError


def known(what: str, name: str, names: Collection[str]) -> str:
    """Return `name` if it is one of `names`.

    Raises:
        SceneError: it is not; the message names the nearest.
    """
    if name in names:
        return name
    near = get_close_matches(name, list(names), n=1)
    raise SceneError(
        f"unknown {what}",
        got=repr(name),
        expected=f"one of {', '.join(names)}",
        remedy=f"did you mean {near[0]!r}?" if near else None,
    )
