r"""Parts of the result that are known already: continuation, infilling, streaming.

A cell whose clean value is known to be `k` is denoised to `k`, whatever the model says. Along the
probability flow its noise :math:`\epsilon = (x - k) / \sigma` then stays what it was, so a sample
that begins at :math:`k + \sigma_{max} \epsilon` shows the model, at every level, the known part
with exactly the noise of that level, and ends at `k`. This is the replacement method (Song et al.
2021, arXiv 2011.13456, appendix I.2) without a step of its own; fresh noise (churn) fits in too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from torch import Tensor

from compose_core.denoiser import Denoiser, State, Step
from compose_core.errors import ShapeError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level

__all__ = ["Known"]


@final
class Known(Denoiser):
    """A denoiser, and what is known better.

    Args:
        inner: Says the rest.
        values: The known cells, `(B or 1, C, *spatial)`; anything elsewhere.
        mask: `(1, 1 or C, *spatial)`: 1 where they are known, 0 where not; between them, both are
            mixed.

    Raises:
        ShapeError: The mask has values outside 0 to 1.
    """

    def __init__(self, inner: Denoiser, values: Tensor, mask: Tensor) -> None:
        super().__init__()
        if bool(((mask < 0) | (mask > 1)).any()) or mask.shape[2:] != values.shape[2:]:
            raise ShapeError(
                "a mask does not fit what is known",
                got=f"{tuple(mask.shape)}, {float(mask.min())} to {float(mask.max())}",
                expected=f"(1, 1, {', '.join(map(str, values.shape[2:]))}), 0 to 1",
            )
        self.rest = inner
        self.values, self.mask = values, mask

    def start(self, noise: Tensor) -> Tensor:
        """Where a walk from `noise` `(B, C, *spatial)` at the first level begins."""
        return noise + (self.mask * self.values).to(noise)

    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """That of the rest."""
        return self.rest.init(x_t, generator)

    def adapt(self, state: State, x_t: Tensor, step: Step) -> State:
        """The rest adapts."""
        return self.rest.adapt(state, x_t, step)

    def inner(self, state: State) -> Iterable[tuple[str, Denoiser, State]]:
        """The rest."""
        return [("rest", self.rest, state)]

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """What the rest asks."""
        return self.rest.queries(x_t, level, state)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """`m k + (1 - m) D`."""
        said = self.rest.combine(answers, x_t, level, state)
        mask, values = self.mask.to(x_t), self.values.to(x_t)
        return said.replace_x0(said.x0 + mask * (values - said.x0))
