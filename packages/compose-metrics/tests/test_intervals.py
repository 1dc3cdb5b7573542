import itertools
import math

import pytest
import torch

from compose_core.errors import ShapeError, UsageError
from compose_metrics.intervals import (
    bootstrap_mean,
    jackknife,
    mean_interval,
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
    ("degrees", "exact"),
    [(1, 12.706205), (2, 4.302653), (3, 3.182446), (4, 2.776445), (9, 2.262157), (99, 1.984217)],
)
def test_student_quantiles_are_those_of_the_tables(degrees, exact):
    assert student_quantile(0.975, degrees) == pytest.approx(exact, abs=1e-6)
    assert student_quantile(0.025, degrees) == pytest.approx(-exact, abs=1e-6)
    assert student_quantile(0.5, degrees) == pytest.approx(0, abs=1e-12)


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


@pytest.mark.parametrize("n", [3, 256])
def test_values_that_are_all_alike_are_not_certain(n):
    zeros, ones = torch.zeros(n), torch.ones(n)
    for values, hits in ((zeros, 0), (ones, n)):
        same = wilson(hits, n)
        for found in (bootstrap_mean(values), mean_interval(values)):
            assert (found.low, found.high) == pytest.approx((same.low, same.high))
    half = bootstrap_mean(ones / 2)
    assert 0.5 in half and 0.5 - half.low == pytest.approx(half.high - 0.5) and half.low < 0.5
    far = bootstrap_mean(7 * ones)  # of no known range
    assert (far.low, far.high) == (7, 7)


def test_the_mean_of_zeros_and_ones_is_a_proportion():
    hits = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0])
    assert mean_interval(hits) == wilson(3, 5)
    shares = torch.tensor([0.0, 1.0, 0.5, 0.0, 1.0])
    assert mean_interval(shares) == bootstrap_mean(shares)


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
    with pytest.raises(ShapeError, match="at least 1"):
        paired_bootstrap(normal(0), normal(0))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_too_few_pairs_are_never_significant(n):
    found = paired_bootstrap(torch.ones(n), torch.zeros(n))
    assert not found.significant and found.p == pytest.approx(2 / 2**n)
    assert (found.interval.low, found.interval.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("n", [6, 8, 16])
def test_few_pairs_that_all_agree_are_as_sure_as_their_signs(n):
    found = paired_bootstrap(torch.ones(n), torch.zeros(n))
    assert found.significant and found.p == pytest.approx(2 / 2**n)
    assert found.interval.low == found.interval.high == 1


def test_few_pairs_give_the_p_of_all_sign_flips():
    differences = normal(8) + 0.4
    signs = 1 - 2 * torch.tensor(list(itertools.product((0.0, 1.0), repeat=8))).double()
    flipped = (signs * differences).mean(1).abs()
    expected = float((flipped >= abs(differences.mean()) - 1e-12).double().mean())
    assert paired_bootstrap(differences, torch.zeros(8)).p == pytest.approx(expected)


def test_the_interval_of_few_pairs_is_what_the_test_does_not_reject():
    differences = normal(9) + 0.5
    interval = paired_bootstrap(differences, torch.zeros(9)).interval
    assert -math.inf < interval.low < interval.high < math.inf
    for end, inwards in ((interval.low, 1), (interval.high, -1)):
        inside, outside = (torch.full((9,), end + s * inwards * 1e-6).double() for s in (1, -1))
        assert not paired_bootstrap(differences, inside).significant
        assert paired_bootstrap(differences, outside).significant


def test_ties_up_to_rounding_count_as_ties():
    a, b = torch.tensor([0.1, 0.2, -0.3] * 2, dtype=torch.float64), torch.zeros(6)
    assert paired_bootstrap(a, b).p == 1


@pytest.mark.parametrize("n", [8, 40])
def test_no_difference_is_rarely_significant(n):
    draws = [paired_bootstrap(normal(n, s), normal(n, s + 500), draws=400) for s in range(100)]
    assert sum(found.significant for found in draws) <= 14  # 5 expected
