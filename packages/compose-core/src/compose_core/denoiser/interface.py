"""The two interfaces: `Network` (conditional) and `Denoiser` (condition bound), and `Step`.

A denoiser works by ask, answer, combine. It asks questions of networks, somebody answers all of
them at once (`compose_core.evaluate`), and it combines the answers into one prediction. Its state
is explicit: `init` makes it, `adapt` moves it once per step, and nothing else changes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor, nn

from compose_core.denoiser.adaptation import Adaptation
from compose_core.encoded import Encoded
from compose_core.evaluate import Answers, Local, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level, Schedule

State: TypeAlias = Any
"""What a denoiser carries from step to step: tensors in tuples or frozen dataclasses, never
changed in place; `()` when there is nothing to carry."""


class Network(nn.Module, ABC):
    """A conditional network: it predicts `x0` from `x_t`, its level and encoded conditions.

    A network never knows that it is being composed. `schedule` is the one that it was trained on;
    `level` belongs to the caller's schedule, and an implementation translates (see
    `compose_core.prediction.translate`), so that any sampler can ask any network.
    """

    schedule: Schedule

    @abstractmethod
    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """Predict.

        Args:
            x_t: Noisy samples `(B, C, *spatial)`, in the caller's schedule.
            level: Their noise level, of shape `()` or `(B,)`.
            encoded: The conditions, of batch `B`.

        Returns:
            The prediction at `x_t`, its `x0` of the same shape.
        """


@dataclass(frozen=True)
class Step:
    """One step of a sampler, as a denoiser may know it.

    Attributes:
        now: The level of `x_t`.
        next: The level that the step goes to.
        index: The number of the step, from 0.
        total: How many there are.
        generator: The only source of randomness for `adapt`; `None` when the run has none.
        evaluator: Answers the questions of a look-ahead.
    """

    now: Level
    next: Level
    index: int
    total: int
    generator: Generators | None = None
    evaluator: Callable[[Questions], Answers] = field(default_factory=Local)


class Denoiser(nn.Module, ABC):
    """Predicts `x0` from `x_t` and its level, with any condition already bound.

    A sampler calls, in this order: `init` once; at each step `adapt` once and then the denoiser
    itself as often as it needs. `queries`, `combine` and `forward` are pure: they change neither
    the state nor the module.
    """

    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """The state before the first step; also the place for what is prepared only once.

        Args:
            x_t: The starting noise `(B, C, *spatial)`; its shape, dtype and device.
            generator: The only source of randomness.
        """
        return ()

    def adapt(self, state: State, x_t: Tensor, step: Step) -> State:
        """The state for this step, moved once before its predictions."""
        return state

    def adapting(self, state: State, x_t: Tensor, step: Step) -> Adaptation:
        """`adapt` for denoisers that run side by side; see `compose_core.denoiser.adaptation`.

        One that looks ahead yields what it asks, so that others' questions can be added.
        """
        yield from ()
        return self.adapt(state, x_t, step)

    def inner(self, state: State) -> Iterable[tuple[str, Denoiser, State]]:
        """The denoisers inside this one, each with a name and its part of the state.

        Whoever looks at a composition from outside, such as a trace, walks down through this.
        """
        return ()

    def traced(self, state: State) -> Mapping[str, Tensor]:
        """Named tensors of the state worth looking at, batch axis first where there is one."""
        return {}

    @abstractmethod
    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """The questions whose answers `combine` needs.

        Args:
            x_t: Noisy samples `(B, C, *spatial)`.
            level: Their level, of shape `()` or `(B,)`.
            state: From `init` or `adapt`.
        """

    @abstractmethod
    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """One prediction from the answers, which have exactly the tree shape of `queries`."""

    def forward(
        self,
        x_t: Tensor,
        level: Level,
        state: State = (),
        evaluator: Callable[[Questions], Answers] | None = None,
    ) -> Prediction:
        """Ask, answer, combine.

        Args:
            x_t: Noisy samples `(B, C, *spatial)`.
            level: Their level, of shape `()` or `(B,)`.
            state: From `init` or `adapt`; when it is `()`, `init(x_t)` is called here.
            evaluator: Answers the questions; `Local()` by default.
        """
        if isinstance(state, tuple) and not state:
            state = self.init(x_t)
        answer = evaluator if evaluator is not None else Local()
        return self.combine(answer(self.queries(x_t, level, state)), x_t, level, state)
