"""One denoiser for one part of a walk, another for the next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast, final

from torch import Tensor, nn

from compose_core.denoiser.interface import Denoiser, State, Step
from compose_core.errors import UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level

_ROUNDING = 1e-6


@final
class Switched(Denoiser):
    """Denoisers that take turns while a sampler walks; only one of them is asked.

    Args:
        parts: In the order in which they take over.
        starts: The share of the steps from which on each is asked: 0 first, then rising, none
            above 1. One that starts at 1 is never asked.

    Raises:
        UsageError: There is not one start for each, or they do not rise from 0 to at most 1.
    """

    def __init__(self, parts: Sequence[Denoiser], starts: Sequence[float]) -> None:
        super().__init__()
        rising = all(a < b for a, b in pairwise(starts)) and all(0 <= x <= 1 for x in starts)
        if len(parts) != len(starts) or not parts or starts[0] != 0 or not rising:
            raise UsageError(
                "the parts of a walk do not follow one another",
                got=f"{len(parts)} parts from {list(starts)}",
                expected="one start for each, a share of the steps, rising from 0",
            )
        self.parts = nn.ModuleList(parts)
        self.starts = tuple(starts)

    def init(self, x_t: Tensor, generator: Generators | None = None) -> _Turn:
        """The states of all; the first has its turn."""
        return _Turn(0, tuple(part.init(x_t, generator) for part in self._denoisers))

    def adapt(self, state: _Turn, x_t: Tensor, step: Step) -> _Turn:
        """Whose turn it is adapts; the others keep their states."""
        passed = [start * step.total <= step.index + _ROUNDING for start in self.starts]
        now = sum(passed) - 1
        states = list(state.states)
        states[now] = self._denoisers[now].adapt(states[now], x_t, step)
        return _Turn(now, tuple(states))

    def inner(self, state: _Turn) -> Iterable[tuple[str, Denoiser, State]]:
        """Whose turn it is."""
        return [(str(state.now), *self._now(state))]

    def queries(self, x_t: Tensor, level: Level, state: _Turn) -> Questions:
        """What the one whose turn it is asks."""
        part, own = self._now(state)
        return part.queries(x_t, level, own)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: _Turn) -> Prediction:
        """What it makes of its answers."""
        part, own = self._now(state)
        return part.combine(answers, x_t, level, own)

    def _now(self, state: _Turn) -> tuple[Denoiser, Any]:
        return self._denoisers[state.now], state.states[state.now]

    @property
    def _denoisers(self) -> tuple[Denoiser, ...]:
        return cast("tuple[Denoiser, ...]", tuple(self.parts))


@dataclass(frozen=True)
class _Turn:
    now: int
    states: tuple[Any, ...]
