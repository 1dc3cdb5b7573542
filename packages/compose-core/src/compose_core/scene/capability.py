"""Does a method understand a scene? Nothing that a scene says is dropped in silence."""

from __future__ import annotations

from collections.abc import Collection

from compose_core.errors import SceneError
from compose_core.scene.model import Scene

RENDERED = frozenset({"box", "mask", "depth", "segments", "normals", "edges", "curvature"})
"""What a proxy turns into: a method that takes any of these makes use of proxies."""


def check(
    scene: Scene,
    accepts: Collection[str],
    needs: Collection[str],
    name: str,
    *,
    strict: bool = False,
) -> list[str]:
    """Compare what a scene gives with what a method takes.

    Args:
        scene: the scene.
        accepts: keys of layers and scenes that the method uses.
        needs: keys that at least one layer must give; ``"box|mask"`` asks for either.
        name: name of the method, for the messages.
        strict: raise where a warning would be given.

    Returns:
        One warning for each key that the method does not use.

    Raises:
        SceneError: something needed is missing; or, if ``strict``, something is not used.
    """
    given = set(scene.used)
    if "proxy" in given:
        given |= RENDERED
    for need in sorted(needs):
        if not given.intersection(need.split("|")):
            raise SceneError(
                f"the method {name!r} needs `{need.replace('|', '` or `')}`",
                got=f"a scene with {', '.join(sorted(scene.used))}",
                remedy="add it to a layer, or choose another method (see `compose methods`)",
            )
    taken = {*accepts}.union(*(need.split("|") for need in needs))
    warnings = [_warning(scene, key, name) for key in _unused(scene, taken)]
    if strict and warnings:
        raise SceneError(
            f"the method {name!r} does not use all of the scene",
            got="; ".join(warnings),
            remedy="remove these keys, choose another method, or run without --strict",
        )
    return warnings


def _unused(scene: Scene, taken: set[str]) -> list[str]:
    if taken & RENDERED:
        taken = taken | {"proxy"}
    unused = scene.used - taken
    if "proxy" in scene.used & taken:
        unused -= {"camera"}  # a camera serves the proxies
    if not any("prompt" in layer.used for layer in scene.layers):
        unused -= {"prompt"}  # the format asks every scene for one
    return sorted(unused)


def _warning(scene: Scene, key: str, name: str) -> str:
    owners = [repr(layer.name) for layer in scene.layers if key in layer.used]
    where = f"layer {', '.join(owners)}" if owners else "the scene"
    return f"the method {name!r} does not use `{key}` of {where}"
