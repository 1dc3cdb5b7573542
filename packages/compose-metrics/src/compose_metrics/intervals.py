"""Confidence intervals: Wilson, bootstrap, paired bootstrap, jackknife.

Draws come from an explicit generator. Left out, it is a fresh one with `SEED`, so that the same
samples give the same interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_metrics.result import Interval

SEED = 20_240_229
"""Seed of the generator that is used when none is given."""

_CHUNK = 4_000_000  # indices drawn at once: 32 MB


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The difference of two methods on the same samples.

    Attributes:
        difference: Mean of ``a - b``.
        interval: Of the difference.
        p: Two-sided, for the hypothesis that there is none.
        significant: Whether the interval leaves out zero.
        n: Number of pairs.
    """

    difference: float
    interval: Interval
    p: float
    significant: bool
    n: int


def seeded(seed: int = SEED) -> torch.Generator:
    """A fresh generator on the CPU."""
    return torch.Generator().manual_seed(seed)


def wilson(hits: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927).

    Unlike the normal approximation it stays within [0, 1] and is not empty at 0 and n hits.

    Raises:
        UsageError: Not ``0 <= hits <= n`` with n at least 1.
    """
    if not 0 <= hits <= n or n < 1:
        raise UsageError("no proportion", got=f"{hits} of {n}", expected="0 <= hits <= n, n >= 1")
    z = normal_quantile(0.5 + level / 2)
    p, scale = hits / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the ends the bound is exactly 0 or 1; rounding must not move it.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Interval(low=low, high=high, level=level, how="Wilson score")


def bootstrap_mean(
    values: Tensor,
    generator: torch.Generator | None = None,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap of the mean (Efron 1979).

    Args:
        values: One value per sample (n,).
        generator: Source of the draws.
        draws: How many times the samples are drawn again.
        level: The confidence.

    Raises:
        ShapeError: Not a vector of at least one value.
    """
    means = bootstrap_means(values, generator, draws)
    low, high = _percentiles(means, level)
    return Interval(
        low=low, high=high, level=level, how=f"percentile bootstrap of the mean, {draws} draws"
    )


def bootstrap_means(
    values: Tensor, generator: torch.Generator | None = None, draws: int = 2000
) -> Tensor:
    """Means (draws, ...) of samples (n, ...) that are drawn again with replacement."""
    if values.dim() < 1 or len(values) < 1:
        raise ShapeError(
            "nothing to draw from", got=tuple(values.shape), expected="at least one value"
        )
    generator = generator or seeded()
    values, n = values.double().cpu(), len(values)
    each = max(1, _CHUNK // (n * max(1, values[0].numel())))
    parts: list[Tensor] = []
    for start in range(0, draws, each):
        count = min(each, draws - start)
        drawn = torch.randint(n, (count, n), generator=generator)
        parts.append(values[drawn].mean(1))
    return torch.cat(parts)


def paired_bootstrap(
    a: Tensor,
    b: Tensor,
    generator: torch.Generator | None = None,
    draws: int = 10_000,
    level: float = 0.95,
) -> Paired:
    """Compare two methods on the same samples.

    Args:
        a: Values of one method (n,).
        b: Values of the other on the same samples, in the same order (n,).
        generator: Source of the draws.
        draws: How many times the pairs are drawn again.
        level: The confidence.

    Raises:
        ShapeError: The vectors differ in length, or are empty.
    """
    if a.shape != b.shape or a.dim() != 1:
        raise ShapeError(
            "the values are not pairs",
            got=f"{tuple(a.shape)} and {tuple(b.shape)}",
            expected="two vectors of one length",
            remedy="measure both methods on the same seeds",
        )
    differences = a.double() - b.double()
    means = bootstrap_means(differences, generator, draws)
    low, high = _percentiles(means, level)
    below, above = int((means <= 0).sum()), int((means >= 0).sum())
    return Paired(
        difference=float(differences.mean()),
        interval=Interval(low=low, high=high, level=level, how=f"paired bootstrap, {draws} draws"),
        p=min(1.0, 2 * (min(below, above) + 1) / (draws + 1)),
        significant=low > 0 or high < 0,
        n=len(differences),
    )


def jackknife(without: Tensor, full: float, level: float = 0.95) -> Interval:
    """Interval from estimates that each leave out one group of samples (Quenouille, Tukey).

    Args:
        without: Estimates (g,), each without one of g groups of equal size.
        full: The estimate from all samples, in the middle of the interval.
        level: The confidence; Student's t with g - 1 degrees of freedom.

    Raises:
        ShapeError: Fewer than two groups.
    """
    groups = len(without)
    if without.dim() != 1 or groups < 2:
        raise ShapeError(
            "too few groups", got=tuple(without.shape), expected="at least two estimates"
        )
    deviations = without.double() - without.double().mean()
    error = math.sqrt((groups - 1) / groups * float((deviations**2).sum()))
    half = student_quantile(0.5 + level / 2, groups - 1) * error
    how = f"jackknife over {groups} groups"
    return Interval(low=full - half, high=full + half, level=level, how=how)


def normal_quantile(p: float) -> float:
    """The value below which a standard normal variable falls with probability ``p``."""
    return float(torch.special.ndtri(torch.tensor(p, dtype=torch.float64)))


def student_quantile(p: float, degrees: int) -> float:
    """The quantile of Student's t; Abramowitz and Stegun 26.7.5, exact for 1 and 2 degrees."""
    if degrees == 1:
        return math.tan(math.pi * (p - 0.5))
    if degrees == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z, v = normal_quantile(p), degrees
    terms = (
        z,
        (z**3 + z) / (4 * v),
        (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2),
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3),
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4),
    )
    return sum(terms)


def _percentiles(means: Tensor, level: float) -> tuple[float, float]:
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(means, ends).tolist()
    return low, high
