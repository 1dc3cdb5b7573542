"""One denoiser for the first part of a walk, another for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from compose_core.denoiser.interface import Denoiser, State, Step
from compose_core.errors import UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level


@final
class Switched(Denoiser):
    """`first` for a share of the steps, then `then`; only one of them is asked.

    Args:
        first: Asked at steps whose index is below `share` times their number, and before the
            first step.
        then: Asked afterwards.
        share: 0 to 1.

    Raises:
        UsageError: The share is not in [0, 1].
    """

    def __init__(self, first: Denoiser, then: Denoiser, share: float) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise UsageError("a part of the walk is a share", got=share, expected="0 to 1")
        self.first, self.then, self.share = first, then, share

    def init(self, x_t: Tensor, generator: Generators | None = None) -> _Turn:
        """Both states; the first part has its turn."""
        first = self.first.init(x_t, generator)
        return _Turn(first, self.then.init(x_t, generator), self.share <= 0)

    def adapt(self, state: _Turn, x_t: Tensor, step: Step) -> _Turn:
        """Whose turn it is adapts; the other keeps its state."""
        if step.index < self.share * step.total:
            return _Turn(self.first.adapt(state.first, x_t, step), state.then, False)
        return _Turn(state.first, self.then.adapt(state.then, x_t, step), True)

    def inner(self, state: _Turn) -> Iterable[tuple[str, Denoiser, State]]:
        """Whose turn it is."""
        part, own = self._turn(state)
        return [("then" if state.over else "first", part, own)]

    def queries(self, x_t: Tensor, level: Level, state: _Turn) -> Questions:
        """What the one whose turn it is asks."""
        part, own = self._turn(state)
        return part.queries(x_t, level, own)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: _Turn) -> Prediction:
        """What it makes of its answers."""
        part, own = self._turn(state)
        return part.combine(answers, x_t, level, own)

    def _turn(self, state: _Turn) -> tuple[Denoiser, Any]:
        return (self.then, state.then) if state.over else (self.first, state.first)


@dataclass(frozen=True)
class _Turn:
    first: Any
    then: Any
    over: bool
