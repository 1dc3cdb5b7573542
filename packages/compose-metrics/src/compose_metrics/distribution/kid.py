r"""Kernel inception distance (Binkowski et al. 2018, arXiv 1801.01401).

The squared maximum mean discrepancy with the kernel :math:`k(x, y) = (x \cdot y / D + 1)^3`,

.. math:: \frac{\sum_{i \ne j} k(x_i, x_j)}{n (n - 1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}
          {m (m - 1)} - \frac{2 \sum_{i j} k(x_i, y_j)}{n m},

is unbiased at any n and m. Others average it over random subsets of 1000, which adds their noise
and leaves pairs unused; here all pairs count, in blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError
from compose_metrics.features import FeatureMetric
from compose_metrics.intervals import normal_quantile
from compose_metrics.result import Interval, Result

BLOCK = 2048
"""Rows of the kernel matrix that are computed at once."""


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """A squared maximum mean discrepancy.

    Attributes:
        value: Unbiased; may be negative.
        error: Standard error from the jackknife over both sets; None with fewer than 3 of either.
    """

    value: float
    error: float | None


@final
class KID(FeatureMetric):
    """Unbiased squared discrepancy between generated and reference features.

    Sets of different size may be compared. Negative values are right: around zero an unbiased
    estimate lies on both sides.
    """

    name = "kid"
    higher_is_better = False
    minimum = 2

    def compute(self) -> Result:
        """The discrepancy with its jackknife interval over both sets."""
        found = polynomial_mmd(self.generated_features(), self.reference_features())
        if found.error is None:
            return self._seen(found.value)
        half = normal_quantile(0.975) * found.error
        how = "jackknife over both sets, normal"
        interval = Interval(low=found.value - half, high=found.value + half, how=how)
        return self._seen(found.value, interval=interval)


def polynomial_mmd(x: Tensor, y: Tensor) -> Discrepancy:
    """Unbiased squared MMD of vectors (n, D) and (m, D) with the kernel of KID, in float64.

    Raises:
        ShapeError: Different D, or fewer than two vectors.
    """
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ShapeError(
            "no two sets of vectors",
            got=f"{tuple(x.shape)} and {tuple(y.shape)}",
            expected="(n, D) and (m, D), both at least 2",
        )
    x, y = x.double(), y.double()
    within_x, within_y = _row_sums(x, x, same=True), _row_sums(y, y, same=True)
    from_x, from_y = _row_sums(x, y), _row_sums(y, x)
    n, m = len(x), len(y)
    total = float(from_x.sum())
    value = _mean_pair(within_x) + _mean_pair(within_y) - 2 * total / (n * m)
    if min(n, m) < 3:
        return Discrepancy(value=value, error=None)
    variance = _jackknife_variance(within_x, from_x, m) + _jackknife_variance(within_y, from_y, n)
    return Discrepancy(value=value, error=variance**0.5)


def _row_sums(x: Tensor, y: Tensor, *, same: bool = False) -> Tensor:
    """Sum of ``k(x_i, y_j)`` over j, for each i (n,); without j = i when the sets are the same."""
    parts: list[Tensor] = []
    for start in range(0, len(x), BLOCK):
        kernel = (x[start : start + BLOCK] @ y.T / x.shape[1] + 1) ** 3
        if same:
            kernel.diagonal(start).zero_()
        parts.append(kernel.sum(1))
    return torch.cat(parts)


def _mean_pair(within: Tensor) -> float:
    n = len(within)
    return float(within.sum()) / (n * (n - 1))


def _jackknife_variance(within: Tensor, across: Tensor, others: int) -> float:
    """Variance of the estimate from leaving out each sample of one set, in closed form."""
    n = len(within)
    pairs = (within.sum() - 2 * within) / ((n - 1) * (n - 2))
    crossed = (across.sum() - across) / ((n - 1) * others)
    without = pairs - 2 * crossed
    return float(((without - without.mean()) ** 2).sum()) * (n - 1) / n
