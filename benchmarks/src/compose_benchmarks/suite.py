"""What a suite is: which scenes, which promises, which metrics, how many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import torch

from compose_benchmarks.items import EXTENT, VISIBLE, Item, item, look
from compose_core.errors import ComposeError, UsageError
from compose_worlds.primitives import draw
from compose_worlds.primitives.captions import Claim, Relation
from compose_worlds.primitives.labels import Labels
from compose_worlds.primitives.world import Scene as Drawn

if TYPE_CHECKING:
    from compose_benchmarks.gallery import Gallery
    from compose_metrics import Result

__all__ = ["Promise", "Scorer", "Source", "Suite", "boxes"]

T = TypeVar("T")

_TRIES = 400
"""Scenes looked at for each item before giving up."""


@dataclass(frozen=True)
class Promise:
    """What a suite wants said of a drawn scene.

    Attributes:
        objects: For each solid, the number of its claim.
        claims: The claims.
        relation: A relation of two of them.
    """

    objects: tuple[int, ...]
    claims: tuple[Claim, ...]
    relation: Relation | None = None


Scorer = Callable[["Gallery"], "Sequence[Result]"]
"""Measures pictures; see `compose_benchmarks.scorers`."""

Choose = Callable[[int, Drawn, tuple[Claim, ...]], Promise | None]
"""Scene number, scene and claims of its solids to what is said of it; `None` passes it over."""

Invent = Callable[[int], tuple[Drawn, tuple[Claim, ...]]]
"""Scene number to a scene and the claims of its solids."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A drawn scene that a suite has taken.

    Attributes:
        number: Of the scene in the world.
        drawn: The scene.
        promise: What is said of it.
        seen: Its labels.
    """

    number: int
    drawn: Drawn
    promise: Promise
    seen: Labels


Write = Callable[[int, Source], "Sequence[Item]"]
"""Number of the next item, and a scene, to the items that it makes; none to pass it over."""


def boxes(number: int, source: Source) -> Sequence[Item]:
    """One item: a box and a prompt for each object."""
    said = source.promise
    return (
        item(
            number,
            source.number,
            source.drawn,
            said.objects,
            said.claims,
            said.relation,
            source.seen,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A benchmark.

    Attributes:
        name: What users call it.
        version: Raised whenever its items or metrics change.
        summary: One line for a table.
        start: Number of the first scene looked at; scenes from 10,000,000 on are held out.
        taste: How scenes are drawn.
        choose: Which scenes are taken, and what is said of them.
        invent: How scenes are drawn where `taste` is not enough.
        write: How scenes become items; with files, they are those of `Scene.with_assets`.
        scorers: What is measured.
        primary: Id of the metric that ranks methods.
        n: Pictures of a full run.
        quick: Pictures of a quick one.
        minimum: Fewest pictures that its metrics are defined on.
        beside: Whether pictures beside the one that was asked for are kept, and looked at.
        rivals: Methods that are there for this suite: others run them only when they are named.
    """

    name: str
    version: int = 1
    summary: str
    start: int
    choose: Choose
    scorers: tuple[Scorer, ...]
    primary: str
    taste: draw.Taste = field(default_factory=draw.Taste)
    invent: Invent | None = None
    write: Write = boxes
    n: int = 256
    quick: int = 8
    minimum: int = 2
    beside: bool = False
    rivals: tuple[str, ...] = ()

    def items(self, n: int) -> tuple[Item, ...]:
        """The first `n` items; the same for every `n`, as far as they go.

        Raises:
            UsageError: `n` is not positive.
            ComposeError: Too few scenes of the world suit the suite.
        """
        return self._first(n, self.start)

    def scenes(self, n: int, start: int) -> list[Drawn]:
        """`n` scenes of the same kind, from another scene number on."""
        return [one.drawn for one in self._taken(n, start, lambda number, source: (source,))]

    def _first(self, n: int, start: int) -> tuple[Item, ...]:
        return self._taken(n, start, self.write)

    def _taken(
        self, n: int, start: int, made: Callable[[int, Source], Sequence[T]]
    ) -> tuple[T, ...]:
        """The first `n` things that are made of scenes, as far as these suit the suite."""
        if n < 1:
            raise UsageError("a run needs pictures", got=n, expected="--num of at least 1")
        found: list[T] = []
        for number in range(start, start + _TRIES * n):
            source = self._source(number)
            if source is not None:
                found += made(len(found), source)
                if len(found) >= n:
                    return tuple(found[:n])
        raise ComposeError(
            f"the suite {self.name!r} finds too few scenes",
            got=f"{len(found)} in {_TRIES * n}",
            expected=n,
        )

    def _source(self, number: int) -> Source | None:
        if self.invent is None:
            drawn, claims = draw.scene(number, self.taste)
        else:
            drawn, claims = self.invent(number)
        promise = self.choose(number, drawn, claims)
        if promise is None:
            return None
        seen = look(drawn)
        visible = seen.visible[0].flatten(1).sum(1)
        if len(visible) < len(drawn.solids) or int(visible.min()) < VISIBLE:
            return None
        x0, y0, x1, y1 = seen.boxes[0].unbind(1)
        if float(torch.minimum(x1 - x0, y1 - y0).min()) < EXTENT:
            return None
        return Source(number=number, drawn=drawn, promise=promise, seen=seen)
