"""Is a part of a figure where it should be?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from compose_benchmarks.judges import Judge
from compose_benchmarks.promises import Placed
from compose_metrics.metric import Keys, PerSample
from compose_metrics.pictures import sizes, taken
from compose_metrics.result import Source
from compose_worlds.judge import Found, overlap

__all__ = ["LEAST", "PartPlaced"]

LEAST = 0.5
"""Least share of the union of both boxes that they have in common."""


@final
class PartPlaced(PerSample):
    """Share of pictures in which a part of a figure is seen in its place.

    That is: the judge sees a solid of its shape and colour whose box and that of the part have
    more than `LEAST` of their union in common.

    Args:
        judge: Looks.
        name: Of the part, and of the metric.
    """

    def __init__(self, judge: Judge, name: str) -> None:
        super().__init__()
        self.judge = judge
        self.id = judge.source.metric(name)

    def update(self, pictures: Tensor, wanted: Sequence[Placed], *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1], each with what is wanted where."""
        pictures = taken(pictures)
        value = [
            float(any(_is(found, one) for found in look.found))
            for look, one in zip(self.judge.look(pictures), wanted, strict=True)
        ]
        self.add(keys, value=torch.tensor(value, dtype=torch.float64), size=sizes(pictures))

    def extractor_source(self) -> Source:
        """The judge."""
        return self.judge.source


def _is(found: Found, wanted: Placed) -> bool:
    kind = (found.shape, found.color) == (wanted.shape, wanted.color)
    return kind and overlap(found.box, wanted.box) > LEAST
