"""Agreement over views: weighted least squares, the common ground of MultiDiffusion and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, final

from torch import Tensor

from compose_core.compose.composer import Composer
from compose_core.compose.least_squares import (
    Weights,
    agree,
    partition,
    raw_weights,
    require_trust,
)
from compose_core.denoiser import Denoiser
from compose_core.errors import UsageError
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level
from compose_core.views import View


@final
class Consensus(Composer):
    r"""Each part denoises its view of the canvas; the canvas agrees best with all of them.

    .. math:: X_0 = \arg\min_X \sum_i \| W_i^{1/2} (A_i X - x_{0,i}) \|^2

    With windows or masked wholes this is the overlap average of MultiDiffusion (Bar-Tal et al.
    2023); with other views it is solved by conjugate gradients. Parts whose views are equal see
    the same object, so what they ask alike is asked once.

    Args:
        parts: One denoiser per view, or a single one for all views.
        views: What each part sees. Together they cover the canvas.
        weights: The trust in each observed cell: a profile (`"mean"`, `"hann"`, `"gaussian"`) or
            one tensor per view, `>= 0` and broadcastable to the observation. Masks over the whole
            canvas are per-cell weights of `Whole` views.
        space: What is agreed on. For crops both spaces give the same, up to rounding; for other
            views they differ in the directions that the views leave open.

    Raises:
        UsageError: There is not one part per view.
        ShapeError: When the state is made: a cell of the canvas has no weight.
    """

    def __init__(
        self,
        parts: Denoiser | Sequence[Denoiser],
        views: Sequence[View],
        weights: Weights = "mean",
        space: Literal["x0", "eps"] = "x0",
    ) -> None:
        super().__init__([parts] * len(views) if isinstance(parts, Denoiser) else parts)
        if len(self.parts) != len(views):
            raise UsageError(
                "a consensus needs one part per view",
                got=f"{len(self.parts)} parts, {len(views)} views",
            )
        self.views = tuple(views)
        self.weights: Weights = weights
        self.space = space

    def input(self, i: int, x_t: Tensor) -> Tensor:
        """What view `i` observes."""
        return self.views[i].observe(x_t)

    def inputs(self, x_t: Tensor) -> Sequence[Tensor]:
        """What each view observes; equal views give the same object."""
        seen = {view: view.observe(x_t) for view in dict.fromkeys(self.views)}
        return [seen[view] for view in self.views]

    def init_own(self, x_t: Tensor, generator: Generators | None) -> tuple[Tensor, ...]:
        """The weights, prepared once; for crops a partition of unity."""
        weights = raw_weights(self.views, self.weights, x_t)
        if all(view.crops for view in self.views):
            weights = partition(self.views, weights, x_t)
        else:
            require_trust(self.views, weights, x_t)
        return tuple(w.to(x_t) for w in weights)

    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: Any
    ) -> Prediction:
        """The least-squares canvas of the predictions."""
        if self.space == "eps":
            eps = agree(self.views, own, [p.eps for p in predictions], x_t)
            return Prediction.from_eps(x_t, level, eps)
        return Prediction(x_t, level, agree(self.views, own, [p.x0 for p in predictions], x_t))
