"""What studies of looks draw: two pictures that contradict each other, and a place for both.

Each pair has three drawn scenes of one object each. Two of them, which differ in place, colour and
shape, are the exemplars; the third gives depth and region of the foreground. All three lie in open
air, so that the depth of a back wall speaks for neither exemplar.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from compose_benchmarks.items import SIDE
from compose_core.errors import ComposeError, UsageError
from compose_worlds.primitives import draw
from compose_worlds.primitives.environments import ENVIRONMENTS
from compose_worlds.primitives.labels import labels, relative_depth
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import Scene, stack

__all__ = ["SPLIT", "START", "Drawn", "Pair", "digest", "drawn", "pairs"]

START = 30_000_000
"""Number of the first scene; no suite and no training uses scenes from here on."""

SPLIT = f"compose_worlds primitives, scenes from {START:,} on (never trained on)"

RADIUS = (0.24, 0.42)
"""Radius of the foreground in picture heights, at least and at most."""

LEAST = 0.2
"""Least radius of the object of an exemplar."""

_TRIES = 128
_ALONE = draw.Taste(counts=(1.0, 0.0, 0.0, 0.0), sizes=1.0)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Numbers of the scenes of a pair, and what is in them.

    Attributes:
        number: Place in the list, from 0.
        layout: Number of the scene that gives depth and region; also the seed of the noise.
        first: Number of the scene of one exemplar.
        second: Number of the scene of the other.
    """

    number: int
    layout: int
    first: int
    second: int

    @property
    def seed(self) -> int:
        """Seed of the noise, the same under every setting."""
        return self.layout

    def to_json(self) -> dict[str, Any]:
        """Numbers, and names of what the scenes hold."""
        names = {key: getattr(self, key) for key in ("layout", "first", "second")}
        return {
            "number": self.number,
            "seed": self.seed,
            **{key: {"scene": n, "shows": _shows(_scene(n))} for key, n in names.items()},
        }


@dataclass(frozen=True)
class Drawn:
    """Pairs as pictures.

    Attributes:
        first: One exemplar of each, (B, 3, H, W) in [0, 1].
        second: The other, likewise.
        depth: Of the layout, (B, H, W) in [0, 1], near is 1; the ground is in it.
        mask: Where its object is, (B, H, W) of 0 and 1.
    """

    first: Tensor
    second: Tensor
    depth: Tensor
    mask: Tensor


def pairs(n: int) -> tuple[Pair, ...]:
    """The first `n` pairs; the same for every `n`, as far as they go.

    Raises:
        UsageError: `n` is not positive.
        ComposeError: Too few scenes suit.
    """
    if n < 1:
        raise UsageError("a study needs pairs", got=n, expected="--num of at least 1")
    return tuple(_pair(number) for number in range(n))


def drawn(some: Sequence[Pair]) -> Drawn:
    """Render pairs."""
    layout = labels(stack([_scene(one.layout) for one in some]), (SIDE, SIDE))
    return Drawn(
        first=picture(stack([_scene(one.first) for one in some]), (SIDE, SIDE)),
        second=picture(stack([_scene(one.second) for one in some]), (SIDE, SIDE)),
        depth=relative_depth(layout.inverse_depth)[:, 0],
        mask=layout.visible.any(1).float(),
    )


def digest(some: Sequence[Pair]) -> str:
    """sha256 over all pairs."""
    text = json.dumps([one.to_json() for one in some], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _pair(number: int) -> Pair:
    start = START + _TRIES * number
    sources = iter(range(start, start + _TRIES))
    layout = next(_found(sources, RADIUS), None)
    first = next(_found(sources, (LEAST, RADIUS[1])), None)
    contrary = (
        other
        for other in _found(sources, (LEAST, RADIUS[1]))
        if first is not None and _contradict(_scene(first), _scene(other))
    )
    second = next(contrary, None)
    if layout is None or first is None or second is None:
        raise ComposeError("no pair of scenes was found", got=f"scenes from {start} on")
    return Pair(number=number, layout=layout, first=first, second=second)


def _found(sources: Iterator[int], radius: tuple[float, float]) -> Iterator[int]:
    """Numbers of scenes in open air whose object is as large as that, and not cut."""
    for source in sources:
        scene = _scene(source)
        if not math.isinf(ENVIRONMENTS[scene.setting.environment].wall):
            continue
        at = draw.seen(scene.solids[0], scene.setting)
        wide = 1.2 * at.radius  # of the whole bounding sphere
        whole = wide < at.x < 1 - wide
        if whole and radius[0] <= at.radius <= radius[1]:
            yield source


def _scene(source: int) -> Scene:
    return draw.scene(source, _ALONE)[0]


def _contradict(a: Scene, b: Scene) -> bool:
    one, other = a.solids[0], b.solids[0]
    places = a.setting.environment != b.setting.environment
    return places and one.color != other.color and one.shape != other.shape


def _shows(scene: Scene) -> str:
    (solid,) = scene.solids
    return f"{solid.color} {solid.shape} {ENVIRONMENTS[scene.setting.environment].phrase}"
