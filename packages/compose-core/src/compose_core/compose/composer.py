"""The plumbing of every composition: parts, their inputs, their states, one merge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, cast, final

from torch import Tensor, nn

from compose_core.denoiser import Adaptation, Denoiser, State, Step, alone
from compose_core.errors import UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level


class Composer(Denoiser, ABC):
    """A denoiser that merges the predictions of its parts; parts may be composers themselves.

    A rule overrides `merge`, and whichever hooks it needs: `input` (what a part sees), `init_own`
    and `adapt_own` (its own state). The state is `(own, states of the parts)`; the questions and
    answers are the tuple of those of the parts.

    Args:
        parts: The parts, at least one. The same part may stand in several places.
    """

    def __init__(self, parts: Iterable[Denoiser]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        if not len(self.parts):
            raise UsageError("a composition needs parts", got="none", expected="at least one")

    @property
    def denoisers(self) -> tuple[Denoiser, ...]:
        """The parts, with their type."""
        return cast(tuple[Denoiser, ...], tuple(self.parts))

    def input(self, i: int, x_t: Tensor) -> Tensor:
        """What part `i` sees of `x_t`; by default all of it, as the same object."""
        return x_t

    def inputs(self, x_t: Tensor) -> Sequence[Tensor]:
        """What every part sees. Parts that see the same should be given the same object."""
        return [self.input(i, x_t) for i in range(len(self.parts))]

    def init_own(self, x_t: Tensor, generator: Generators | None) -> Any:
        """The rule's own state before the first step; also what is prepared only once."""
        return None

    def adapt_own(self, own: Any, states: Sequence[State], x_t: Tensor, step: Step) -> Any:
        """The rule's own state for this step, after the parts have adapted to `states`."""
        return own

    @abstractmethod
    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: Any
    ) -> Prediction:
        """The rule.

        Args:
            predictions: One of each part, at what it sees.
            x_t: The whole, `(B, C, *spatial)`.
            level: Its level.
            own: The rule's own state.
        """

    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """The rule's own state, and those of the parts."""
        own = self.init_own(x_t, generator)
        seen = zip(self.denoisers, self.inputs(x_t), strict=True)
        return own, tuple(part.init(x, generator) for part, x in seen)

    def adapting_own(
        self, own: Any, states: Sequence[State], x_t: Tensor, step: Step
    ) -> Adaptation:
        """`adapt_own`, or what a rule that looks ahead overrides instead: see `Request`."""
        yield from ()
        return self.adapt_own(own, states, x_t, step)

    @final
    def adapt(self, state: State, x_t: Tensor, step: Step) -> State:
        """The parts adapt first, then the rule; rules override `adapt_own` or `adapting_own`."""
        return alone(self.adapting(state, x_t, step))

    def adapting(self, state: State, x_t: Tensor, step: Step) -> Adaptation:
        """See `Denoiser.adapting`."""
        own, states = state
        found: list[State] = []
        for part, kept, x in zip(self.denoisers, states, self.inputs(x_t), strict=True):
            found.append((yield from part.adapting(kept, x, step)))
        own = yield from self.adapting_own(own, tuple(found), x_t, step)
        return own, tuple(found)

    def inner(self, state: State) -> Iterable[tuple[str, Denoiser, State]]:
        """The parts, by their position."""
        _, states = state
        each = enumerate(zip(self.denoisers, states, strict=True))
        return [(str(i), part, own) for i, (part, own) in each]

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """The questions of each part."""
        _, states = state
        seen = zip(self.denoisers, states, self.inputs(x_t), strict=True)
        return tuple(part.queries(x, level, kept) for part, kept, x in seen)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """Each part combines its own answers; the rule merges."""
        if isinstance(answers, Prediction):
            raise TypeError("a composer asks a tuple of questions, and was given one answer")
        own, states = state
        each = zip(self.denoisers, answers, self.inputs(x_t), states, strict=True)
        predictions = [part.combine(heard, x, level, kept) for part, heard, x, kept in each]
        return self.merge(predictions, x_t, level, own)
