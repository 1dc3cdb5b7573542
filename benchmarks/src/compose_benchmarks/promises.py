"""Does a picture keep what its caption promises? Counted in objects, as the judge sees them.

And is the judge sure of what it sees, whatever was promised?
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from compose_benchmarks.looking import Judged
from compose_metrics.metric import Keys
from compose_metrics.pictures import sizes, taken
from compose_worlds.judge import Found, overlap, verdict
from compose_worlds.primitives.captions import Caption

__all__ = ["Clarity", "ExactlyThese", "ObjectsPlaced", "ObjectsThere", "RelationHolds"]


@final
class Clarity(Judged):
    """How sure the judge is of the shapes of solids: see `compose_benchmarks.judges.Look`.

    Deformed or melted objects look half like one shape and half like another. Renders of the world
    give about 0.92.
    """

    name = "clarity"

    def update(self, pictures: Tensor, *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1]."""
        pictures = taken(pictures)
        values = [look.clarity for look in self.judge.look(pictures)]
        self.add(keys, value=torch.tensor(values, dtype=torch.float64), size=sizes(pictures))


@final
class ObjectsPlaced(Judged):
    """Share of the objects that are there where they were asked for.

    That is: the judge sees one of that shape and colour whose box and the one asked for have more
    than half of their union in common.
    """

    name = "placed"

    def update(
        self, pictures: Tensor, wanted: Sequence[Sequence[Placed]], *, keys: Keys = None
    ) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1], each with what is wanted where."""
        pictures = taken(pictures)
        pairs = zip(self.judge.look(pictures), wanted, strict=True)
        values = [_placed(list(look.found), some) for look, some in pairs]
        value = torch.tensor(values, dtype=torch.float64)
        self.add(keys, value=value, size=sizes(pictures))


class Placed(NamedTuple):
    """An object in a box (x0, y0, x1, y1) in fractions of the picture."""

    shape: str
    color: str
    box: Sequence[float]


def _placed(found: list[Found], wanted: Sequence[Placed]) -> float:
    hits = [
        any(
            (f.shape, f.color) == (one.shape, one.color) and overlap(f.box, one.box) > 0.5
            for f in found
        )
        for one in wanted
    ]
    return sum(hits) / max(len(hits), 1)


class _Kept(Judged):
    """A share of promises.

    The interval of one that a picture keeps or does not is Wilson's, see `mean_interval`.
    """

    version = 2

    def update(self, pictures: Tensor, captions: Sequence[Caption], *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1] with a caption each."""
        pictures = taken(pictures)
        pairs = zip(self.judge.look(pictures), captions, strict=True)
        values = [self._value(caption, list(look.found)) for look, caption in pairs]
        value = torch.tensor(values, dtype=torch.float64)
        self.add(keys, value=value, size=sizes(pictures))

    @abstractmethod
    def _value(self, caption: Caption, found: list[Found]) -> float:
        """Of one picture, in [0, 1]."""


@final
class ObjectsThere(_Kept):
    """Share of the promised objects that are there, in their colour and shape."""

    name = "objects"

    def _value(self, caption: Caption, found: list[Found]) -> float:
        wanted: Counter[tuple[str, str]] = Counter()
        for claim in caption.claims:
            wanted[claim.shape, claim.color] += claim.count
        seen = Counter((f.shape, f.color) for f in found)
        return (wanted & seen).total() / max(wanted.total(), 1)


@final
class ExactlyThese(_Kept):
    """Share of pictures with exactly the promised objects: none missing, none too many."""

    name = "exact"

    def _value(self, caption: Caption, found: list[Found]) -> float:
        return float(verdict(caption, found).exact)


@final
class RelationHolds(_Kept):
    """Share of pictures in which both objects are there and stand as promised."""

    name = "relation"

    def _value(self, caption: Caption, found: list[Found]) -> float:
        given = verdict(caption, found)
        return float(all(held is True for held in given.relations))
