"""Several scenes walked together, so that their questions share network calls.

Scenes of a benchmark have different structures: other layers, other masks, other trees of
questions. `Lockstep` gives each of them its own rows of `x_t` and hands out the questions of all
at once; the evaluator then lays them end to end. Every scene draws from its own generator, so its
picture is that of a walk alone, up to the rounding of the network's kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, cast, final

import torch
from torch import Tensor, nn

from compose_core.denoiser import Denoiser, State, Step, together
from compose_core.errors import ShapeError, UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level

__all__ = ["Lockstep"]


class _Rows(NamedTuple):
    """The state: the states of the parts, and what they saw of which sample.

    A part that looks ahead keeps what it heard of a sample, which it knows by its identity.
    """

    x_t: Tensor
    seen: tuple[Tensor, ...]
    states: tuple[State, ...]


def _states(state: State) -> tuple[State, ...]:
    return cast(_Rows, state).states


@final
class Lockstep(Denoiser):
    """Denoisers side by side, each on its own rows of the batch.

    Args:
        parts: The denoisers, at least one.
        rows: How many rows belong to each; one by default.

    Raises:
        UsageError: There are no parts, or not one positive count for each.
    """

    def __init__(self, parts: Sequence[Denoiser], rows: Sequence[int] | None = None) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.rows = tuple(rows) if rows is not None else (1,) * len(parts)
        if not parts or len(self.rows) != len(parts) or min(self.rows) < 1:
            raise UsageError(
                "each part of a lockstep needs rows of its own",
                got=f"{len(parts)} parts, rows {list(self.rows)}",
                expected="at least one part, and one positive count for each",
            )

    @property
    def denoisers(self) -> tuple[Denoiser, ...]:
        """The parts, with their type."""
        return cast(tuple[Denoiser, ...], tuple(self.parts))

    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """The state of each part, made from its own rows and generators."""
        seen = self._split(x_t)
        each = zip(self.denoisers, seen, self._dice(generator), strict=True)
        return _Rows(x_t, seen, tuple(part.init(x, own) for part, x, own in each))

    def adapt(self, state: State, x_t: Tensor, step: Step) -> State:
        """Each part adapts to its own rows; what look-aheads ask is asked at once."""
        seen, dice = self._split(x_t), self._dice(step.generator)
        each = zip(self.denoisers, _states(state), seen, dice, strict=True)
        moving = [
            part.adapting(kept, x, replace(step, generator=own)) for part, kept, x, own in each
        ]
        return _Rows(x_t, seen, tuple(together(moving)))

    def inner(self, state: State) -> Iterable[tuple[str, Denoiser, State]]:
        """The parts, by their position; what they show has the rows of each."""
        each = enumerate(zip(self.denoisers, _states(state), strict=True))
        return [(str(i), part, own) for i, (part, own) in each]

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """The questions of every part."""
        seen, levels = self._seen(x_t, state), self._levels(level)
        each = zip(self.denoisers, seen, levels, _states(state), strict=True)
        return tuple(part.queries(x, own, kept) for part, x, own, kept in each)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """What every part makes of its answers, end to end."""
        if isinstance(answers, Prediction):
            raise TypeError("a lockstep asks a tuple of questions, and was given one answer")
        seen, levels = self._seen(x_t, state), self._levels(level)
        each = zip(self.denoisers, answers, seen, levels, _states(state), strict=True)
        found = [part.combine(heard, x, own, kept) for part, heard, x, own, kept in each]
        return Prediction(x_t, level, torch.cat([one.x0 for one in found]))

    def _seen(self, x_t: Tensor, state: State) -> tuple[Tensor, ...]:
        """What each part sees: of the sample that it adapted to, the same object again."""
        kept = cast(_Rows, state)
        return kept.seen if kept.x_t is x_t else self._split(x_t)

    def _split(self, x_t: Tensor) -> tuple[Tensor, ...]:
        if x_t.shape[0] != sum(self.rows):
            raise ShapeError(
                "the batch is not that of the lockstep", got=x_t.shape[0], expected=sum(self.rows)
            )
        return x_t.split(list(self.rows))

    def _levels(self, level: Level) -> list[Level]:
        if not level.shape:  # the same object for all: questions at one level share a call
            return [level] * len(self.rows)
        cut = list(self.rows)
        every = level.expand(sum(cut))
        alpha, sigma, t = (one.split(cut) for one in (every.alpha, every.sigma, every.t))
        return [Level(*own) for own in zip(alpha, sigma, t, strict=True)]

    def _dice(self, generator: Generators | None) -> list[Generators | None]:
        if generator is None:
            return [None] * len(self.rows)
        if isinstance(generator, torch.Generator):
            raise UsageError(
                "scenes in lockstep draw from generators of their own",
                got="one generator for all",
                expected=f"a list of {sum(self.rows)}, one for each row",
            )
        if len(generator) != sum(self.rows):
            raise ShapeError(
                "one generator per row is needed", got=len(generator), expected=sum(self.rows)
            )
        starts = [sum(self.rows[:i]) for i in range(len(self.rows))]
        return [generator[a : a + n] for a, n in zip(starts, self.rows, strict=True)]
