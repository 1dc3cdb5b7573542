"""A rule of your own: the median of what the parts predict."""
# ruff: noqa: E402 (imports stand where they are first needed)

# --8<-- [start:rule]
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from compose_core import Composer, Gaussian, Level, Prediction


@final
class Median(Composer):
    """In each cell the median of the parts' x0: one part that is far off has no say."""

    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: Any
    ) -> Prediction:
        """The median over the parts."""
        x0 = torch.stack([prediction.x0 for prediction in predictions]).median(0).values
        return Prediction(x_t, level, x0)


# --8<-- [end:rule]

# --8<-- [start:use]
parts = [Gaussian(mean, 0.1) for mean in (-1.0, 0.9, 1.0)]
level = Level.of(alpha=0.8, sigma=0.6, t=300)
x_t = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
prediction = Median(parts)(x_t, level)
# --8<-- [end:use]

# --8<-- [start:laws]
from compose_core.testing import laws

laws.check_denoiser(Median(parts), x_t, level)
laws.check_identical_parts(Median, parts[0], x_t, level)
laws.check_permutation(lambda order: Median([parts[i] for i in order]), 3, x_t, level)
# --8<-- [end:laws]
