"""Scorers of scenes that were drawn in layers: the picture against its background and its object.

The layers of an item are its place, which is everywhere, and its object, whose box is its region.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from compose_benchmarks.gallery import Gallery
from compose_benchmarks.items import GROUND, SIDE, Item
from compose_benchmarks.suites.cgi.layers import (
    BackgroundKept,
    Emptiness,
    Ground,
    Inside,
    Likeness,
    Same,
)
from compose_benchmarks.suites.cgi.seams import Seams
from compose_metrics.result import Result

__all__ = ["backgrounds", "borders", "identity", "inside"]

CELL = 4
"""Pixels of a latent cell of sd-tiny."""

ROOM = 2 * CELL
"""Pixels around the object's cells that decoding mixes with it, and that nobody looks at."""


class _Pair(NamedTuple):
    """What stands beside the pictures of one part: (B, 3, H, W) each."""

    keys: list[int]
    pictures: Tensor
    grounds: Tensor
    objects: Tensor
    items: tuple[Item, ...]


def inside(gallery: Gallery) -> list[Result]:
    """Whether the object is seen in its region."""
    metric = Inside(gallery.eyes.judge)
    for part in gallery.parts():
        claims = [item.caption.claims[0] for item in part.items]
        metric.update(part.pictures, claims, [_box(one) for one in part.items], keys=part.keys)
    return [metric.compute()]


def borders(gallery: Gallery) -> list[Result]:
    """Whether the border of the object's region is seen."""
    metric = Seams()
    for part in gallery.parts():
        metric.update(part.pictures, torch.stack(_regions(part.items)), keys=part.keys)
    return [metric.compute()]


def backgrounds(gallery: Gallery) -> list[Result]:
    """Whether backgrounds are empty, of the place, and kept in the picture."""
    kept, empty, ground = (
        BackgroundKept(),
        Emptiness(gallery.eyes.judge),
        Ground(gallery.eyes.clip, tuple(GROUND.values())),
    )
    for pair in _pairs(gallery):
        kept.update(pair.pictures, pair.grounds, _outside(pair.items), keys=pair.keys)
        empty.update(pair.grounds, keys=pair.keys)
        told = [GROUND[item.drawn.setting.environment] for item in pair.items]
        ground.update(pair.grounds, told, keys=pair.keys)
    return [one.compute() for one in (kept, empty, ground) if one.n]


def identity(gallery: Gallery) -> list[Result]:
    """Whether the object in the picture is the one that stands by itself."""
    same, like = Same(gallery.eyes.judge), Likeness(gallery.eyes.clip)
    for pair in _pairs(gallery):
        boxes = [_box(item) for item in pair.items]
        same.update(pair.pictures, pair.objects, boxes, keys=pair.keys)
        like.update(pair.pictures, pair.objects, boxes, keys=pair.keys)
    return [one.compute() for one in (same, like) if one.n]


def _pairs(gallery: Gallery) -> Iterator[_Pair]:
    """The parts of a gallery whose method gave layers."""
    for part in gallery.parts():
        rows = [i for i, one in enumerate(part.beside) if _names(part.items[i]) <= set(one)]
        if not rows:
            continue
        items = tuple(part.items[i] for i in rows)
        grounds, objects = (
            torch.stack([part.beside[i][part.items[i].scene.layers[k].name] for i in rows])
            for k in (0, 1)
        )
        keys = [part.keys[i] for i in rows]
        yield _Pair(keys, part.pictures[rows], grounds, objects, items)


def _names(item: Item) -> set[str]:
    return {layer.name for layer in item.scene.layers}


def _regions(items: tuple[Item, ...]) -> list[Tensor]:
    """Which cells are the object's, (h, w) bool."""
    side = SIDE // CELL
    return [
        torch.tensor(item.scene.regions(side, side)[item.scene.layers[1].name] >= 0.5)
        for item in items
    ]


def _outside(items: tuple[Item, ...]) -> Tensor:
    """Pixels (B, H, W) well outside of the objects' cells."""
    cells = torch.stack(_regions(items)).float()
    pixels = cells.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
    grown = torch.nn.functional.max_pool2d(pixels[:, None], 2 * ROOM + 1, 1, ROOM)[:, 0]
    return grown == 0


def _box(item: Item) -> tuple[float, float, float, float]:
    box = item.scene.layers[1].box
    assert box is not None, "items of this suite have boxes"
    return box
