"""Pairs of objects that overlap in the picture, each asked for in both orders.

Every layer has its mask, whole outlines with hidden parts, and the exact depth of the scene with
its object alone. A third of the pairs is `"near"`: in the overlap the mean inverse depths of the
two differ by less than `NEAR` of the range of the maps, and the objects may well touch. In the
others they differ by more than `CLEAR`, one map being nearer almost everywhere in the overlap;
then one of the two orders is that of the values (`"agreeing"`) and the other is against them
(`"contradicting"`). The prompt names both objects and says nothing of their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from compose_benchmarks.items import EXTENT, SIDE, VISIBLE, Item
from compose_benchmarks.suite import Source
from compose_benchmarks.suites.files import Files
from compose_core.errors import ComposeError
from compose_core.scene import Layer, Scene
from compose_worlds.primitives import draw
from compose_worlds.primitives.captions import Claim, phrase
from compose_worlds.primitives.labels import Labels, labels, relative_depth
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS, Setting, Solid, stack, toy
from compose_worlds.primitives.world import Scene as Drawn

__all__ = ["CLEAR", "NEAR", "Ordered", "Stratum", "invent", "maps_of", "write"]

NEAR = 0.02
"""Of the range of a map: so small a difference of means counts as none."""

CLEAR = 0.06
"""Of the range of a map: so large a difference of means is clear."""

MOSTLY = 0.9
"""Share of the overlap in which the nearer of a clear pair is nearer."""

OVERLAP = 0.25
"""Least share of the smaller outline that the larger one covers or is covered by."""

_BATCH, _TRIES = 8, 40

Stratum = Literal["near", "agreeing", "contradicting"]
"""How the order that is asked for stands to the depth that is given."""


@dataclass(frozen=True, kw_only=True)
class Ordered(Item):
    """A pair in one order.

    Attributes:
        ahead: Number of the solid that should be in front.
        stratum: See `Stratum`.
    """

    ahead: int
    stratum: Stratum

    def to_json(self) -> dict[str, Any]:
        """See `Item.to_json`."""
        return {**super().to_json(), "ahead": self.ahead, "stratum": self.stratum}


def invent(number: int) -> tuple[Drawn, tuple[Claim, ...]]:
    """Two objects of different shapes and colours, one before the other; every third pair near.

    Raises:
        ComposeError: None was found in many tries.
    """
    setting = draw.empty(number).setting
    dice = Generator().manual_seed(number)
    near = number % 3 == 0
    for _ in range(_TRIES):
        some = [Drawn(solids=_pair(dice, setting, near), setting=setting) for _ in range(_BATCH)]
        seen, alone = labels(stack(some), (SIDE, SIDE)), maps_of(some)
        for row, drawn in enumerate(some):
            if _suits(drawn, seen, alone, row, near):
                claims = tuple(Claim(x.shape, str(x.color)) for x in drawn.solids)
                return drawn, claims
    raise ComposeError("no pair of objects that overlap was found", got=f"scene {number}")


def write(number: int, source: Source) -> Sequence[Item]:
    """Two items: either solid in front; all else is the same, the seed too."""
    drawn, said = source.drawn, source.promise
    files = Files()
    shown, masks = maps_of([drawn])[0], source.seen.amodal[0]
    parts: list[dict[str, Any]] = [
        {
            "name": f"{x.color} {x.shape}",
            "depth": files.depth(shown[i]),
            "mask": files.mask(masks[i]),
        }
        for i, x in enumerate(drawn.solids)
    ]
    caption = phrase(said.claims, None, drawn.setting.environment)
    gap = float(_gap(shown, masks))
    made: list[Ordered] = []
    for turn, ahead in enumerate((0, 1)):
        layers = tuple(Layer(**part, z=float(i == ahead)) for i, part in enumerate(parts))
        scene = Scene(
            canvas=(SIDE, SIDE),
            prompt=caption.text,
            negative="",
            seed=source.number,
            layers=layers,
        )
        agrees = (gap > 0) == (ahead == 0)
        stratum: Stratum = "agreeing" if agrees else "contradicting"
        made.append(
            Ordered(
                number=number + turn,
                source=source.number,
                scene=scene.with_assets(files.assets()),
                caption=caption,
                drawn=drawn,
                objects=said.objects,
                ahead=ahead,
                stratum="near" if abs(gap) < NEAR else stratum,
            )
        )
    return made


def maps_of(scenes: Sequence[Drawn]) -> Tensor:
    """The depth (B, 2, H, W) in [0, 1] of two-object scenes with either object alone."""
    alone = [Drawn(solids=(x,), setting=one.setting) for one in scenes for x in one.solids]
    inverse = labels(stack(alone), (SIDE, SIDE)).inverse_depth
    return relative_depth(inverse)[:, 0].unflatten(0, (len(scenes), 2))


def _gap(shown: Tensor, masks: Tensor) -> Tensor:
    """By how much the first of two maps (2, H, W) is nearer in the overlap, on average."""
    shared = masks[0] & masks[1]
    return (shown[0] - shown[1])[shared].mean()


def _pair(dice: Generator, setting: Setting, near: bool) -> tuple[Solid, Solid]:
    """Two solids drawn so that they often suit: the second beside the first in the picture."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=dice))

    shapes = torch.randperm(len(SHAPES), generator=dice)[:2].tolist()
    colors = torch.randperm(len(COLORS), generator=dice)[:2].tolist()
    z = between(3.5, 4.4)
    behind = z + (between(-0.3, 0.6) if near else between(1.0, 2.2))
    slope = 2 * math.tan(math.radians(setting.fov) / 2)
    aside = between(-0.2, 0.2) * z * slope
    made: list[Solid] = []
    for shape, color, away in zip(shapes, colors, (z, behind), strict=True):
        larger = 1.0 if near or away == z else 1.15
        size, yaw = larger * between(0.56, 0.76), between(-35, 35)
        made.append(toy(SHAPES[shape], list(COLORS)[color], aside, away, size=size, yaw=yaw))
    first, second = (draw.seen(solid, setting) for solid in made)
    reach = between(0.4, 0.85) * (first.radius + second.radius)
    at = first.x + (reach if between(-1, 1) > 0 else -reach)
    x = (at - 0.5) * slope * second.depth
    other = replace(made[1], position=(x, *made[1].position[1:]))
    return (made[0], other) if between(-1, 1) > 0 else (other, made[0])


def _suits(drawn: Drawn, seen: Labels, alone: Tensor, row: int, near: bool) -> bool:
    masks, shown = seen.amodal[row], alone[row]
    shared, sizes = masks[0] & masks[1], masks.flatten(1).sum(1)
    if int(shared.sum()) < OVERLAP * int(sizes.min()):
        return False
    if int((sizes - shared.sum()).min()) < VISIBLE:
        return False
    if bool(masks[:, [0, -1]].any()) or bool(masks[:, :, [0, -1]].any()):
        return False  # cut by the frame
    x0, y0, x1, y1 = seen.boxes[row].unbind(1)
    if float(torch.minimum(x1 - x0, y1 - y0).min()) < EXTENT:
        return False
    if not _one_scale(drawn):
        return False
    gap = float(_gap(shown, masks))
    if near:
        return abs(gap) < NEAR
    ahead = ((shown[0] - shown[1])[shared] * math.copysign(1, gap) > 0).float().mean()
    return abs(gap) > CLEAR and float(ahead) > MOSTLY


def _one_scale(drawn: Drawn) -> bool:
    """Whether ground and sky, which both maps show, are their ends: their values compare."""
    alone = [Drawn(solids=(solid,), setting=drawn.setting) for solid in drawn.solids]
    scenes = stack([*alone, Drawn(setting=drawn.setting)])
    inverse = labels(scenes, (SIDE, SIDE)).inverse_depth
    low, high = inverse.amin((1, 2, 3)), inverse.amax((1, 2, 3))
    return bool((low == low[-1]).all()) and bool((high == high[-1]).all())
