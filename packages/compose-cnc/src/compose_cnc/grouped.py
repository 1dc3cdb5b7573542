"""Samples of one batch that are asked about in different ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from compose_core.denoiser import Denoiser, State, Step
from compose_core.errors import ShapeError, UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level

__all__ = ["Grouped"]


@final
class Grouped(Denoiser):
    """A denoiser for each group of samples, which knows nothing of the others.

    Networks hear a batch alike: where one sample has depth or exemplars, all others would need
    stand-ins, and the answer to one would depend on its company. Here each group is asked with
    what it has, and nothing is computed that it does not need.

    Args:
        parts: One for each group.
        rows: Which samples each has, together every one of the batch once.

    Raises:
        UsageError: There is not one group for each part, or the groups do not make up a batch.
    """

    def __init__(self, parts: Sequence[Denoiser], rows: Sequence[Sequence[int]]) -> None:
        super().__init__()
        every = [i for group in rows for i in group]
        if not parts or len(parts) != len(rows) or sorted(every) != list(range(len(every))):
            raise UsageError(
                "the groups do not make up a batch",
                got=f"{len(parts)} parts for {[list(group) for group in rows]}",
                expected="one group for each part, and every sample in one of them",
            )
        self.parts = nn.ModuleList(parts)
        self.rows = tuple(tuple(group) for group in rows)
        self.count = len(every)

    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """The states of all groups."""
        if x_t.shape[0] != self.count:
            raise ShapeError(
                "the batch has another size than its groups",
                got=x_t.shape[0],
                expected=self.count,
            )
        each = zip(self._parts, self.rows, strict=True)
        return tuple(part.init(x_t[list(own)], _of(generator, own)) for part, own in each)

    def adapt(self, state: State, x_t: Tensor, step: Step) -> State:
        """Every group adapts."""
        found: list[State] = []
        for part, own, kept in zip(self._parts, self.rows, state, strict=True):
            now, after = (_levels(level, own) for level in (step.now, step.next))
            mine = replace(step, now=now, next=after, generator=_of(step.generator, own))
            found.append(part.adapt(kept, x_t[list(own)], mine))
        return tuple(found)

    def inner(self, state: State) -> Iterable[tuple[str, Denoiser, State]]:
        """The groups, by their position."""
        each = enumerate(zip(self._parts, state, strict=True))
        return [(str(i), part, own) for i, (part, own) in each]

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """The questions of each group."""
        each = zip(self._parts, self.rows, state, strict=True)
        return tuple(
            part.queries(x_t[list(own)], _levels(level, own), kept) for part, own, kept in each
        )

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """What each group makes of its answers, back in the order of the batch."""
        if isinstance(answers, Prediction):
            raise TypeError("a Grouped asks a tuple of questions, and was given one answer")
        each = zip(self._parts, self.rows, state, answers, strict=True)
        found = [
            part.combine(heard, x_t[list(own)], _levels(level, own), kept).x0
            for part, own, kept, heard in each
        ]
        order = [i for own in self.rows for i in own]
        back = sorted(range(self.count), key=order.__getitem__)
        return Prediction(x_t, level, torch.cat(found)[back])

    @property
    def _parts(self) -> tuple[Denoiser, ...]:
        return cast("tuple[Denoiser, ...]", tuple(self.parts))


def _of(generator: Generators | None, rows: Sequence[int]) -> Any:
    return [generator[i] for i in rows] if isinstance(generator, list) else generator


def _levels(level: Level, rows: Sequence[int]) -> Level:
    if not level.shape:
        return level
    some = list(rows)
    return Level(level.alpha[some], level.sigma[some], level.t[some])
