import math

import pytest
import torch

from compose_core.errors import ShapeError, UsageError
from compose_metrics.intervals import (
    bootstrap_mean,
    jackknife,
    paired_bootstrap,
    seeded,
    student_quantile,
    wilson,
)


def normal(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Newcombe 1998, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_gives_published_intervals(hits, n, low, high):
    found = wilson(hits, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_wilson_refuses_what_is_no_proportion():
    for hits, n in ((1, 0), (3, 2), (-1, 5)):
        with pytest.raises(UsageError):
            wilson(hits, n)


@pytest.mark.parametrize(
    ("degrees", "exact"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (9, 2.26216), (99, 1.98422)]
)
def test_student_quantiles_are_those_of_the_tables(degrees, exact):
    assert student_quantile(0.975, degrees) == pytest.approx(exact, rel=2e-3)


def test_bootstrap_finds_the_standard_error_of_the_mean():
    values = normal(400)
    found = bootstrap_mean(values, draws=4000)
    half = 1.96 * float(values.std()) / 20
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)
    assert found == bootstrap_mean(values, seeded(), draws=4000)
    assert found != bootstrap_mean(values, seeded(1), draws=4000)


def test_bootstrap_does_not_depend_on_chunks(monkeypatch):
    whole = bootstrap_mean(normal(30))
    monkeypatch.setattr("compose_metrics.intervals._CHUNK", 100)
    assert bootstrap_mean(normal(30)) == whole


def test_jackknife_of_a_mean_is_the_standard_error():
    # Leaving out each of n values gives exactly s / sqrt(n).
    values = normal(40)
    without = (values.sum() - values) / 39
    found = jackknife(without, float(values.mean()))
    error = float(values.std()) / math.sqrt(40)
    assert (found.high - found.low) / 2 == pytest.approx(
        student_quantile(0.975, 39) * error, rel=1e-12
    )
    with pytest.raises(ShapeError):
        jackknife(without[:1], 0.0)


def test_pairs_find_what_unpaired_samples_hide():
    scene = normal(200) * 10  # scenes differ a lot, methods a little
    a, b = scene + 0.3 + normal(200, 1) * 0.1, scene
    found = paired_bootstrap(a, b)
    assert found.significant and found.p < 0.01
    assert found.difference == pytest.approx(0.3, abs=0.05)
    # The same difference drowns when the intervals of both are laid side by side.
    assert bootstrap_mean(a).low < bootstrap_mean(b).high


def test_equal_methods_do_not_differ():
    found = paired_bootstrap(normal(50), normal(50))
    assert (found.difference, found.p, found.significant) == (0.0, 1.0, False)
    with pytest.raises(ShapeError):
        paired_bootstrap(normal(50), normal(49))


def test_no_difference_is_rarely_significant():
    draws = [paired_bootstrap(normal(40, s), normal(40, s + 500), draws=400) for s in range(100)]
    assert sum(found.significant for found in draws) <= 14  # 5 expected
