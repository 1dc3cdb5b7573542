"""Confidence intervals: Wilson, bootstrap, pairs, jackknife.

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

EXACT = 16
"""Up to so many pairs all 2^n sign flips are looked at, which is quick."""

_CHUNK = 4_000_000  # indices drawn at once: 32 MB


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The difference of two methods on the same samples.

    Attributes:
        difference: Mean of ``a - b``.
        interval: Of the difference; infinite where the pairs are too few to say anything.
        p: Two-sided, for the hypothesis that there is none. Of this one comparison: who compares
            many methods or metrics finds one in twenty below 0.05 by chance.
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

    Drawing from values that are all alike gives nothing but them, as if they were certain. Where
    they are one number in [0, 1], taken as the range of values, the interval is therefore that of
    a share of which all n samples agree: Wilson's, for 0 and for 1.

    Args:
        values: One value per sample (n,).
        generator: Source of the draws.
        draws: How many times the samples are drawn again.
        level: The confidence.

    Raises:
        ShapeError: Not a vector of at least one value.
    """
    means = bootstrap_means(values, generator, draws)
    first = float(values[0])
    if 0 <= first <= 1 and bool((values == values[0]).all()):
        other = wilson(0, len(values), level).high  # so many may be otherwise: 0 or 1
        low, high, how = first * (1 - other), first + other * (1 - first), "Wilson score"
        return Interval(low=low, high=high, level=level, how=f"{how}, all values being alike")
    low, high = _percentiles(means, level)
    return Interval(
        low=low, high=high, level=level, how=f"percentile bootstrap of the mean, {draws} draws"
    )


def mean_interval(values: Tensor, level: float = 0.95) -> Interval:
    """Interval of a mean: Wilson's where every value is 0 or 1, else by bootstrap.

    Args:
        values: One value per sample (n,).
        level: The confidence.

    Raises:
        ShapeError: Not a vector of at least one value.
    """
    if values.dim() == 1 and len(values) and bool(((values == 0) | (values == 1)).all()):
        return wilson(int(values.sum()), len(values), level)
    return bootstrap_mean(values, level=level)


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

    Few pairs drawn again look alike, and a bootstrap is too sure of them. Up to `EXACT` pairs the
    test is therefore exact: were there no difference, each pair could as well have the other sign,
    and p is the share of the 2^n choices of signs whose mean is as far from zero (Fisher 1935).
    The interval holds all differences which that test does not reject; its ends are means of
    subsets of the pairs (Hartigan 1969). So fewer than 6 pairs are never significant at 0.95, and
    their interval is infinite.

    Args:
        a: Values of one method (n,).
        b: Values of the other on the same samples, in the same order (n,).
        generator: Source of the draws.
        draws: How many times more than `EXACT` pairs are drawn again.
        level: The confidence.

    Raises:
        ShapeError: The vectors differ in length, or are empty.
    """
    if a.shape != b.shape or a.dim() != 1 or not len(a):
        raise ShapeError(
            "the values are not pairs",
            got=f"{tuple(a.shape)} and {tuple(b.shape)}",
            expected="two vectors of one length, at least 1",
            remedy="measure both methods on the same seeds",
        )
    differences = (a.double() - b.double()).cpu()
    if len(differences) <= EXACT:
        return _sign_flips(differences, level)
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


def _sign_flips(differences: Tensor, level: float) -> Paired:
    """The exact test of few pairs, see `paired_bootstrap`."""
    n, choices = len(differences), 2 ** len(differences)
    sums, sizes = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for difference in differences:  # every subset of the pairs
        sums, sizes = torch.cat([sums, sums + difference]), torch.cat([sizes, sizes + 1])
    means = (sums[1:] / sizes[1:]).sort().values
    # Sums that are zero but for rounding must count as zero.
    means[means.abs() <= 1e-12 * differences.abs().max()] = 0.0
    # Flipping a subset makes no smaller sum if and only if the mean of the subset is <= 0.
    below, above = int((means <= 0).sum()), int((means >= 0).sum())
    rank = math.floor((1 - level) / 2 * choices + 1e-9)
    low = float(means[rank - 1]) if rank else -math.inf
    high = float(means[-rank]) if rank else math.inf
    how = f"exact sign flips of {n} pairs"
    return Paired(
        difference=float(differences.mean()),
        interval=Interval(low=low, high=high, level=level, how=how),
        p=min(1.0, 2 * (min(below, above) + 1) / choices),
        significant=low > 0 or high < 0,
        n=n,
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
    """The quantile of Student's t with a whole number of degrees, to about 1e-12.

    The distribution has a closed form in the angle whose tangent is t / sqrt(degrees) (Abramowitz
    and Stegun 26.7.3 and 26.7.4), which is inverted by bisection.
    """
    low, high = -math.pi / 2, math.pi / 2
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (middle, high) if _central(middle, degrees) < 2 * p - 1 else (low, middle)
    return math.tan((low + high) / 2) * math.sqrt(degrees)


def _central(angle: float, degrees: int) -> float:
    """Probability of a t nearer to zero than tan(angle) * sqrt(degrees), with the angle's sign."""
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= square * (k - 1) / k
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _percentiles(means: Tensor, level: float) -> tuple[float, float]:
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(means, ends).tolist()
    return low, high
