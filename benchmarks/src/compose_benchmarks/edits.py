"""Metrics of edits: did what was asked for happen, and did the rest stay?

Labels do not say colours, so the judge is asked for shapes in places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from compose_benchmarks.gallery import Gallery
from compose_benchmarks.items import SIDE, Item
from compose_benchmarks.judges import Judge
from compose_benchmarks.looking import Judged
from compose_metrics.metric import Keys
from compose_metrics.pictures import sizes, taken
from compose_metrics.result import Result
from compose_worlds.judge import Found, overlap
from compose_worlds.primitives import draw
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.world import stack

__all__ = ["Edited", "OthersKept", "Wanted", "inserted", "others", "removed"]

THERE = 0.5
"""Intersection over union of boxes from which on a solid is where it should be."""

GONE = 0.25
"""The same below which nothing is left of one."""


class Wanted(NamedTuple):
    """A solid in a box (x0, y0, x1, y1) in fractions of the picture."""

    shape: str
    box: Sequence[float]


@final
class Edited(Judged):
    """Share of pictures whose edit the judge sees.

    Args:
        judge: Looks.
        gone: Whether the solid was taken out. Then nothing that the judge sees may cover its box
            (intersection over union of `GONE` or more); otherwise one of its shape must (`THERE`).
    """

    name = "edited"

    def __init__(self, judge: Judge, *, gone: bool = False) -> None:
        super().__init__(judge)
        self.gone = gone

    def update(self, pictures: Tensor, edits: Sequence[Wanted], *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1], with the solid of each edit."""
        pictures = taken(pictures)
        pairs = zip(self.judge.look(pictures), edits, strict=True)
        value = [
            not any(overlap(one.box, edit.box) >= GONE for one in look.found)
            if self.gone
            else _seen(look.found, edit)
            for look, edit in pairs
        ]
        self.add(keys, value=torch.tensor(value).double(), size=sizes(pictures))


@final
class OthersKept(Judged):
    """Share of the other solids that are still seen, in their shape and place."""

    name = "others"

    def update(
        self, pictures: Tensor, rest: Sequence[Sequence[Wanted]], *, keys: Keys = None
    ) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1], with the solids that each edit leaves alone."""
        pictures = taken(pictures)
        pairs = zip(self.judge.look(pictures), rest, strict=True)
        value = [
            sum(_seen(look.found, one) for one in some) / max(len(some), 1) for look, some in pairs
        ]
        self.add(keys, value=torch.tensor(value).double(), size=sizes(pictures))


def _seen(found: Sequence[Found], wanted: Wanted) -> bool:
    return any(one.shape == wanted.shape and overlap(one.box, wanted.box) > THERE for one in found)


def inserted(gallery: Gallery) -> list[Result]:
    """Whether the solid that was put in is there."""
    return _edited(gallery, gone=False)


def removed(gallery: Gallery) -> list[Result]:
    """Whether the solid that was taken out is gone."""
    return _edited(gallery, gone=True)


def others(gallery: Gallery) -> list[Result]:
    """Whether the other solids stayed."""
    metric = OthersKept(gallery.eyes.judge)
    for part in gallery.parts():
        metric.update(part.pictures, [_solids(one)[:-1] for one in part.items], keys=part.keys)
    return [metric.compute()]


def _edited(gallery: Gallery, *, gone: bool) -> list[Result]:
    metric = Edited(gallery.eyes.judge, gone=gone)
    for part in gallery.parts():
        metric.update(part.pictures, [_solids(one)[-1] for one in part.items], keys=part.keys)
    return [metric.compute()]


def _solids(one: Item) -> list[Wanted]:
    """All solids of the scene with the edited one, which comes last."""
    whole, _ = draw.scene(one.source)
    boxes = labels(stack([whole]), (SIDE, SIDE)).boxes[0].tolist()
    return [Wanted(s.shape, box) for s, box in zip(whole.solids, boxes, strict=True)]
