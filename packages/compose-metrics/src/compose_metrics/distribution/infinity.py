"""Removing the bias of a distance that falls with `1 / n` (Chong and Forsyth 2020)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import ComposeError
from compose_metrics.intervals import seeded, student_quantile
from compose_metrics.result import Interval

SHARE = 5
"""The smallest subset is this fraction of the set: one in five."""


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """A line through distances over `1 / n`.

    Attributes:
        value: Of the line at `1 / n = 0`.
        slope: Of the line: the bias at n samples is about `slope / n`.
        interval: Of the value, from the scatter of the points around the line. It says how well
            the line is known, not how much the set itself is by chance.
        sizes: Sizes of the subsets, ascending; the last one is the whole set.
        values: Their distances.
    """

    value: float
    slope: float
    interval: Interval
    sizes: tuple[int, ...]
    values: tuple[float, ...]


def at_infinity(
    distance: Callable[[Tensor], float],
    n: int,
    *,
    sizes: int = 15,
    generator: torch.Generator | None = None,
    level: float = 0.95,
) -> Extrapolation:
    """Extrapolate a distance to infinitely many samples.

    Subsets are drawn without replacement, of evenly spaced sizes from a fifth of the set to all of
    it. Drawing with replacement would add the bias of repeated samples.

    Args:
        distance: Of the subset with the given row numbers, an int64 tensor.
        n: Number of samples.
        sizes: Number of subsets, at least 3.
        generator: Source of the draws.
        level: Confidence of the interval.

    Raises:
        ComposeError: Too few samples for that many different sizes.
    """
    least = max(2, n // SHARE)
    counts = torch.linspace(least, n, sizes, dtype=torch.float64).round().long().tolist()
    if sizes < 3 or len(set(counts)) < sizes:
        raise ComposeError(
            "too few samples to extrapolate",
            got=f"{n} samples for {sizes} sizes",
            expected=f"at least 3 sizes and about {2 * sizes} samples",
        )
    generator = generator or seeded()
    values = [
        # The whole set keeps its order, so that its distance is the plain one bit for bit.
        distance(
            torch.arange(n)
            if count == n
            else torch.randperm(n, generator=generator)[:count].sort().values
        )
        for count in counts
    ]
    return _line(counts, values, level)


def _line(counts: list[int], values: list[float], level: float) -> Extrapolation:
    """Least squares in `1 / n`."""
    x = 1 / torch.tensor(counts, dtype=torch.float64)
    y = torch.tensor(values, dtype=torch.float64)
    centred = x - x.mean()
    spread = float((centred**2).sum())
    slope = float((centred * y).sum()) / spread
    value = float(y.mean()) - slope * float(x.mean())
    residual = float(((y - value - slope * x) ** 2).sum()) / (len(x) - 2)
    error = (residual * (1 / len(x) + float(x.mean()) ** 2 / spread)) ** 0.5
    half = student_quantile(0.5 + level / 2, len(x) - 2) * error
    how = f"regression of {len(x)} subsets in 1 / n"
    return Extrapolation(
        value=value,
        slope=slope,
        interval=Interval(low=value - half, high=value + half, level=level, how=how),
        sizes=tuple(counts),
        values=tuple(values),
    )
