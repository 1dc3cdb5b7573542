"""Panoramas of three views, each under words of its own.

A view is as large as the model was trained for and shares a quarter with the next. Each has an
object that it is to show, where its neighbours see less than half of it, and so do views that
share a half: every method hears the same prompts, one in each view. The objects differ in shape
and in colour. Items of even number name their place in every prompt; those of odd number name
none, so that nothing but the canvas tells the views to agree on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator

from compose_benchmarks.items import SIDE, Item
from compose_benchmarks.suite import Source
from compose_core.scene import Layer, Scene
from compose_worlds.primitives.captions import Caption, Claim, phrase
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS

__all__ = ["BORDERS", "STRIDE", "VIEWS", "WIDTH", "Asked", "Wide", "write"]

VIEWS = 3
STRIDE = SIDE * 3 // 4
"""Pixels from one view to the next."""

WIDTH = SIDE + (VIEWS - 1) * STRIDE

BORDERS = (SIDE, WIDTH - SIDE)
"""Columns where the first view ends and the last one begins."""

_ASIDE = ((-8, -1), (-5, 5), (1, 8))
"""How far the box of each object is from the middle of its view, in pixels."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a view is to show.

    Attributes:
        left: Its first column in pixels.
        caption: Its prompt.
    """

    left: int
    caption: Caption


@dataclass(frozen=True, kw_only=True)
class Wide(Item):
    """A panorama to make.

    Attributes:
        views: What each view is to show.
        named: Whether the prompts name the place.
    """

    views: tuple[Asked, ...]
    named: bool

    def to_json(self) -> dict[str, Any]:
        """See `Item.to_json`."""
        told = [[one.left, one.caption.text] for one in self.views]
        return {**super().to_json(), "views": told, "named": self.named}


def write(number: int, source: Source) -> Sequence[Item]:
    """One panorama; the first object and the place are those of the drawn scene."""
    drawn, named = source.drawn, number % 2 == 0
    dice = Generator().manual_seed(source.number)
    claims = _claims(source.promise.claims[0], dice)
    place = drawn.setting.environment if named else ""
    views = tuple(
        Asked(left=k * STRIDE, caption=phrase([claim], None, place))
        for k, claim in enumerate(claims)
    )
    layers = tuple(
        Layer(
            name=f"{k + 1} {claim.color} {claim.shape}",
            prompt=view.caption.text,
            box=_box(view.left, aside, dice),
        )
        for k, (claim, view, aside) in enumerate(zip(claims, views, _ASIDE, strict=True))
    )
    caption = phrase(claims, None, place)
    scene = Scene(
        canvas=(WIDTH, SIDE), prompt=caption.text, negative="", seed=source.number, layers=layers
    )
    made = Wide(
        number=number,
        source=source.number,
        scene=scene,
        caption=caption,
        drawn=drawn,
        objects=(0,),
        views=views,
        named=named,
    )
    return (made,)


def _claims(first: Claim, dice: Generator) -> list[Claim]:
    """The first, and others of other shapes and colours."""
    shapes = [shape for shape in SHAPES if shape != first.shape]
    colors = [color for color in COLORS if color != first.color]
    some = torch.randperm(len(shapes), generator=dice)[: VIEWS - 1].tolist()
    painted = torch.randperm(len(colors), generator=dice)[: VIEWS - 1].tolist()
    return [first, *(Claim(shapes[a], colors[b]) for a, b in zip(some, painted, strict=True))]


def _box(left: int, aside: tuple[int, int], dice: Generator) -> tuple[float, float, float, float]:
    """A box near the middle of a view, in fractions of the canvas."""

    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=dice))

    half, middle = between(13, 17), left + SIDE // 2 + between(*aside)
    bottom = between(50, 56)
    box = (middle - half, bottom - 2 * half, middle + half, bottom)
    x0, y0, x1, y1 = (round(side / (SIDE if i % 2 else WIDTH), 6) for i, side in enumerate(box))
    return x0, y0, x1, y1
