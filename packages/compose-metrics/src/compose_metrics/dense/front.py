"""Who is seen in front of whom, told from what is seen where, without any depth.

Two things whose outlines overlap: what is seen where only the one can be is that thing, and the
one in front is the one that is seen where both could be.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from compose_metrics.dense.judged import ReadPerSample
from compose_metrics.dense.maps import plain, refuse, same
from compose_metrics.metric import Keys
from compose_metrics.result import Source

__all__ = ["FrontSeen", "Undecided", "in_front"]


def in_front(seen: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Which of two things is seen in front: (B,) int, 1 or 2, or 0 where that cannot be told.

    The label of a thing is the commonest one in its outline outside of the other's; that of the
    overlap likewise. Nothing can be told where a thing is not seen (-1 is its commonest label),
    where both have one label, or where the overlap has another than either.

    Args:
        seen: What is seen at each pixel, (B, H, W) int: any label, -1 for nothing.
        first: Whole outline of the one thing, (B, H, W) bool.
        second: That of the other.

    Raises:
        ShapeError: Maps on different pixels.
        ComposeError: Outlines that do not overlap, or of which one lies within the other.
    """
    seen, first, second = plain(seen, "seen"), plain(first, "first"), plain(second, "second")
    same(seen, first, "seen and first")
    same(seen, second, "seen and second")
    parts = (first & ~second, second & ~first, first & second)
    for part, what in zip(
        parts, ("no part of its own", "no part of its own", "no overlap"), strict=True
    ):
        refuse(~part.flatten(1).any(1), f"an outline has {what}")
    one, other, both = (_commonest(seen, part) for part in parts)
    known = (one >= 0) & (other >= 0) & (one != other)
    found = torch.where(both == one, 1, torch.where(both == other, 2, 0))
    return torch.where(known, found, 0)


def _commonest(seen: Tensor, part: Tensor) -> Tensor:
    """The commonest label (B,) in parts (B, H, W) bool that are not empty."""
    return torch.stack([s[p].mode().values for s, p in zip(seen, part, strict=True)])


class _Front(ReadPerSample):
    """Base of both metrics.

    Args:
        of: Which pairs are shown to it, as a part of the id; "" for all.
        judge: The network that read what is seen, if one did; it becomes part of the id too.
    """

    def __init__(self, of: str = "", *, judge: Source | None = None) -> None:
        if of:
            self.id = f"{self.id}-{of}"
        super().__init__(judge)


@final
class FrontSeen(_Front):
    """Share of pairs of which the thing that should be in front is seen to be.

    Where that cannot be told the picture does not show the order: it counts as wrong.
    """

    id = "order"

    def update(self, seen: Tensor, front: Tensor, back: Tensor, *, keys: Keys = None) -> None:
        """Take a batch; see `in_front`, which this asks whether it is `front`."""
        self.add(keys, value=(in_front(seen, front, back) == 1).double())


@final
class Undecided(_Front):
    """Share of pairs of which it cannot be told who is in front."""

    id = "order-undecided"
    higher_is_better = False

    def update(self, seen: Tensor, front: Tensor, back: Tensor, *, keys: Keys = None) -> None:
        """Take a batch; see `in_front`."""
        self.add(keys, value=(in_front(seen, front, back) == 0).double())
