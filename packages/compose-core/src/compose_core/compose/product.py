"""Products of distributions: every part has to be satisfied at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor

from compose_core.compose.composer import Composer
from compose_core.denoiser import Denoiser
from compose_core.errors import UsageError
from compose_core.prediction import Prediction
from compose_core.schedule import Level


@final
class Product(Composer):
    """Composes conditions by multiplying their densities, relative to an unconditional one.

        eps = eps_0 + sum_i w_i (eps_i - eps_0)

    Du et al. 2023, "Reduce, Reuse, Recycle" (Eq. 9-11); Liu et al. 2022. The coefficients sum to
    one, so the formula holds for `x0` as it stands; it is applied there. A negative weight
    steers away from a condition. The product of noised densities is not the noised product: what
    a sampler makes of it is an approximation.

    Args:
        parts: The unconditional denoiser first, then the conditional ones.
        weights: `w_i` of each conditional part: a number, or a tensor that broadcasts to `x_t`
            (`(B, 1, 1, 1)` for a weight per sample, `(1, 1, H, W)` for one per cell).

    Raises:
        UsageError: There is not one weight per conditional part.
    """

    def __init__(self, parts: Sequence[Denoiser], weights: Sequence[float | Tensor]) -> None:
        super().__init__(parts)
        self.weights = tuple(weights)
        if len(self.weights) != len(self.parts) - 1:
            raise UsageError(
                "a product needs one weight per conditional part",
                got=f"{len(self.parts)} parts, {len(self.weights)} weights",
                expected="an unconditional part first, which has no weight",
            )

    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: Any
    ) -> Prediction:
        """The first prediction, moved towards each of the others."""
        first, *others = (prediction.x0 for prediction in predictions)
        x0 = first
        for w, other in zip(self.weights, others, strict=True):
            x0 = x0 + (w.to(x_t) if isinstance(w, Tensor) else w) * (other - first)
        return Prediction(x_t, level, x0)
