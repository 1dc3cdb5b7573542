"""A denoiser that stays within the range of its data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from torch import Tensor

from compose_core.denoiser.interface import Denoiser, State, Step
from compose_core.errors import UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level


@final
class Clipped(Denoiser):
    """What another says, with clean values brought into `[-bound, bound]`.

    Strong guidance extrapolates beyond the range of the data, and what follows is dark or garish;
    clipping at every step is the static thresholding of Saharia et al. 2022, "Photorealistic
    Text-to-Image Diffusion Models with Deep Language Understanding", section 2.3. For pixels, not
    for latents, which have no range.

    Args:
        inner: Who is asked.
        bound: Largest magnitude of a clean value.

    Raises:
        UsageError: The bound is not above zero.
    """

    def __init__(self, inner: Denoiser, bound: float = 1.0) -> None:
        super().__init__()
        if not bound > 0:
            raise UsageError("values are clipped at a bound above zero", got=bound)
        self.free = inner
        self.bound = bound

    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """That of the other."""
        return self.free.init(x_t, generator)

    def adapt(self, state: State, x_t: Tensor, step: Step) -> State:
        """The other adapts."""
        return self.free.adapt(state, x_t, step)

    def inner(self, state: State) -> Iterable[tuple[str, Denoiser, State]]:
        """The other."""
        return [("free", self.free, state)]

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """What the other asks."""
        return self.free.queries(x_t, level, state)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """What it says, within the bound."""
        said = self.free.combine(answers, x_t, level, state)
        return said.replace_x0(said.x0.clamp(-self.bound, self.bound))
