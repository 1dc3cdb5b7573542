"""Scores who is seen in front, by the colour that the judge sees at each pixel."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from compose_benchmarks.gallery import Gallery
from compose_benchmarks.judges import Judge
from compose_benchmarks.suites.overlapping import Ordered
from compose_metrics.dense.front import FrontSeen, Undecided
from compose_metrics.result import Result
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.world import stack

__all__ = ["colors", "order_seen"]

STRATA = ("near", "agreeing", "contradicting")


def order_seen(gallery: Gallery) -> list[Result]:
    """How often the object in front is the one that is seen where both could be.

    Over all pictures, over those of each stratum, and the share in which nobody can be told.
    """
    source = gallery.eyes.judge.source
    whole, lost = FrontSeen(judge=source), Undecided(judge=source)
    apart = {name: FrontSeen(name, judge=source) for name in STRATA}
    for part in gallery.parts():
        items = cast("tuple[Ordered, ...]", part.items)
        seen = colors(gallery.eyes.judge, part.pictures)
        height, width = seen.shape[1:]
        outlines = labels(stack([one.drawn for one in items]), (width, height)).amodal
        rows, ahead = torch.arange(len(items)), torch.tensor([one.ahead for one in items])
        front, back = outlines[rows, ahead], outlines[rows, 1 - ahead]
        whole.update(seen, front, back, keys=part.keys)
        lost.update(seen, front, back, keys=part.keys)
        for name, metric in apart.items():
            mine = torch.tensor([one.stratum == name for one in items])
            if bool(mine.any()):
                keys = torch.tensor(part.keys)[mine]
                metric.update(seen[mine], front[mine], back[mine], keys=keys)
    return [whole.compute(), lost.compute(), *(x.compute() for x in apart.values() if x.n)]


@torch.no_grad()
def colors(judge: Judge, pictures: Tensor) -> Tensor:
    """The colour (B, H, W) of the object that the judge sees at each pixel, -1 for none.

    Colours are read almost without fault in parts of objects too; shapes are not. The objects of a
    pair differ in both.
    """
    return judge.network(pictures).color.argmax(1) - 1
