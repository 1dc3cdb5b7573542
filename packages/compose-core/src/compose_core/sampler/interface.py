"""What every sampler is, and what it hands out after every step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from compose_core.denoiser import Answers, Denoiser, Questions, State, Step
from compose_core.errors import ComposeError, ScheduleError
from compose_core.evaluate import Local
from compose_core.noise import Generators, normal
from compose_core.prediction import Prediction
from compose_core.schedule import Level

Evaluate = Callable[[Questions], Answers]
"""What answers a tree of questions: `compose_core.evaluate.Local` or another."""


@final
@dataclass(frozen=True, eq=False)
class Moment:
    """What there is to see after one step.

    Attributes:
        step: The step that was just taken; `step.next` is the level of `x_t`.
        x_t: The sample `(B, ...)` after the step.
        prediction: What the denoiser said at the beginning of the step.
        state: The denoiser's state during the step.
    """

    step: Step
    x_t: Tensor
    prediction: Prediction
    state: State


class Sampler(ABC):
    """A way to turn noise into a sample by asking a denoiser.

    A sampler holds no state of a run: the same one may serve many runs, also at the same time.

    Attributes:
        levels: The levels it visits, noisy first; the last is that of its result.
    """

    levels: tuple[Level, ...]

    @abstractmethod
    def steps(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        *,
        generator: Generators | None = None,
        evaluator: Evaluate | None = None,
    ) -> Iterator[Moment]:
        """Take the steps one by one, without gradients.

        Args:
            denoiser: What to ask.
            x_t: Noise `(B, ...)` at `levels[0]`, as `initial` draws it. Narrower dtypes than
                float32 are widened: the sum of many small steps needs the digits.
            generator: Source of all randomness, of the sampler and of the denoiser.
            evaluator: Answers the denoiser's questions; in this process by default.

        Yields:
            One moment after each of the `len(levels) - 1` steps.

        Raises:
            ComposeError: A prediction is not finite; the message names the step.
            UsageError: The sampler is stochastic and there is no generator.
        """

    def sample(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        *,
        generator: Generators | None = None,
        evaluator: Evaluate | None = None,
    ) -> Tensor:
        """Take all steps and return the last `x_t` `(B, ...)`; see `steps`."""
        for moment in self.steps(denoiser, x_t, generator=generator, evaluator=evaluator):
            x_t = moment.x_t
        return x_t

    def initial(
        self,
        shape: Sequence[int],
        generator: Generators,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Noise `(B, ...)` to start from.

        Its scale is `sigma` of the first level. Variance-preserving networks were all trained to
        be started from unit variance instead, whatever is left of a picture at their first level.
        """
        first = self.levels[0]
        preserving = bool((torch.hypot(first.alpha, first.sigma) - 1).abs() < 1e-6)
        noise = normal(shape, generator, device=device, dtype=dtype)
        return noise if preserving else noise * float(first.sigma)


class StepByStep(Sampler, ABC):
    """A sampler that remembers nothing between its steps.

    Args:
        levels: At least two shared levels; all but the last hold noise.

    Raises:
        ScheduleError: The levels cannot be walked down.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        self.levels = tuple(levels)
        if len(self.levels) < 2 or any(level.shape for level in self.levels):
            raise ScheduleError(
                "a sampler needs levels to walk down",
                got=[tuple(level.shape) for level in self.levels],
                expected="two or more, each shared by the batch (shape ())",
                remedy="use schedule.levels(steps)",
            )
        if any(level.is_clean for level in self.levels[:-1]):
            raise ScheduleError(
                "only the last level may be clean", got=[float(x.sigma) for x in self.levels]
            )

    def steps(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        *,
        generator: Generators | None = None,
        evaluator: Evaluate | None = None,
    ) -> Iterator[Moment]:
        """Take the steps one by one; see `Sampler.steps`."""
        x_t, state = begin(denoiser, x_t, generator)
        total = len(self.levels) - 1
        for index, (now, after) in enumerate(zip(self.levels, self.levels[1:], strict=False)):
            step = Step(now, after, index, total, generator, evaluator or Local())
            with torch.no_grad():  # not around the yield: the caller's code keeps its own mode
                moment = self.advance(denoiser, x_t, step, state)
            yield moment
            x_t, state = moment.x_t, moment.state

    @abstractmethod
    def advance(self, denoiser: Denoiser, x_t: Tensor, step: Step, state: State) -> Moment:
        """Take one step from `x_t` at `step.now` to `step.next`."""


def begin(denoiser: Denoiser, x_t: Tensor, generator: Generators | None) -> tuple[Tensor, State]:
    """The first sample, wide enough to add up many steps, and the denoiser's first state."""
    x_t = x_t if x_t.dtype in (torch.float32, torch.float64) else x_t.float()
    with torch.no_grad():
        return x_t, denoiser.init(x_t, generator)


def predict(denoiser: Denoiser, x_t: Tensor, level: Level, state: State, step: Step) -> Prediction:
    """Ask the denoiser, and refuse an answer that is not finite.

    Raises:
        ComposeError: NaN or infinity in `x0`.
    """
    prediction = denoiser(x_t, level, state, step.evaluator)
    check_finite(prediction.x0, "prediction", step)
    return prediction


def check_finite(x: Tensor, name: str, step: Step) -> None:
    """Stop a run at the step where its numbers break, not at a black picture.

    Raises:
        ComposeError: `x` holds NaN or infinity.
    """
    if bool(torch.isfinite(x).all()):
        return
    nans, infinities = int(x.isnan().sum()), int(x.isinf().sum())
    raise ComposeError(
        f"the {name} is not finite at step {step.index + 1} of {step.total}",
        got=f"{nans} NaN and {infinities} infinite of {x.numel()} values, "
        f"at sigma/alpha = {float(step.now.ratio):.4g}",
        expected="finite numbers",
        remedy="a wider dtype (float32), a lower guidance scale, or more steps",
    )
