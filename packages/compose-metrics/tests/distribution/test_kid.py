import pytest
import torch

from compose_core.errors import ComposeError, ShapeError
from compose_metrics import KID
from compose_metrics.distribution import polynomial_mmd


def gaussian(n, dim, seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator, dtype=torch.float64) + shift


def by_hand(x, y):
    """The definition, pair by pair."""
    n, m, d = len(x), len(y), x.shape[1]

    def k(a, b):
        return float(a @ b / d + 1) ** 3

    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    xy = sum(k(a, b) for a in x for b in y) / (n * m)
    return xx + yy - 2 * xy


def test_it_is_the_definition(monkeypatch):
    x, y = gaussian(9, 4, 1), gaussian(6, 4, 2, 0.5)
    exact = by_hand(x, y)
    assert polynomial_mmd(x, y).value == pytest.approx(exact, rel=1e-12)
    monkeypatch.setattr("compose_metrics.distribution.kid.BLOCK", 4)
    assert polynomial_mmd(x, y).value == pytest.approx(exact, rel=1e-12)


def test_it_is_unbiased_where_the_distance_of_gaussians_is_not():
    draws = torch.tensor(
        [polynomial_mmd(gaussian(20, 8, s), gaussian(30, 8, 1000 + s)).value for s in range(200)]
    )
    error = float(draws.std()) / 200**0.5
    assert abs(float(draws.mean())) < 3 * error
    assert bool((draws < 0).any())  # negative values are right


def test_the_jackknife_is_the_plain_one():
    """Closed form against leaving out each vector in turn."""
    x, y = gaussian(7, 3, 1), gaussian(5, 3, 2, 0.4)

    def variance(estimates):
        estimates = torch.tensor(estimates, dtype=torch.float64)
        n = len(estimates)
        return float(((estimates - estimates.mean()) ** 2).sum()) * (n - 1) / n

    def without(vectors, i):
        return torch.cat([vectors[:i], vectors[i + 1 :]])

    exact = variance([polynomial_mmd(without(x, i), y).value for i in range(7)])
    exact += variance([polynomial_mmd(x, without(y, i)).value for i in range(5)])
    assert polynomial_mmd(x, y).error == pytest.approx(exact**0.5, rel=1e-10)


def test_its_error_is_the_spread_over_draws():
    pairs = [(gaussian(60, 8, s, 0.3), gaussian(80, 8, 1000 + s)) for s in range(60)]
    found = [polynomial_mmd(x, y) for x, y in pairs]
    spread = float(torch.tensor([each.value for each in found]).std())
    mean_error = sum(each.error for each in found) / len(found)
    assert mean_error == pytest.approx(spread, rel=0.3)


def test_torch_fidelity_gives_the_same_on_the_whole_set(toy, generated, reference):
    metric_kid = pytest.importorskip("torch_fidelity.metric_kid")
    x = toy.extract(generated).features.double()
    y = toy.extract(reference[:120]).features.double()
    whole = {"kid_subsets": 1, "kid_subset_size": 120, "verbose": False, "rng_seed": 1}
    theirs = metric_kid.kid_features_to_metric(x, y, **whole)
    ours = KID(toy)
    ours.update(generated, reference[:120])
    exact = ours.compute().value
    assert theirs["kernel_inception_distance_mean"] == pytest.approx(exact, rel=1e-9)
    # Its default draws subsets: the value depends on the seed.
    few = {"kid_subsets": 10, "kid_subset_size": 30, "verbose": False}
    drawn = [metric_kid.kid_features_to_metric(x, y, rng_seed=s, **few) for s in (1, 2)]
    means = [each["kernel_inception_distance_mean"] for each in drawn]
    assert means[0] != pytest.approx(means[1], rel=0.01)


def test_torchmetrics_gives_the_same_on_the_whole_set(toy, generated, reference):
    kid = pytest.importorskip("torchmetrics.image.kid")
    x, y = toy.extract(generated).features, toy.extract(reference[:120]).features
    ours = polynomial_mmd(x, y).value
    assert float(kid.poly_mmd(x.double(), y.double())) == pytest.approx(ours, rel=1e-9)
    # In the single precision of the features, where it works by default, sums of cubes cancel.
    single = float(kid.poly_mmd(x, y))
    assert abs(single - ours) > 100 * abs(float(kid.poly_mmd(x.double(), y.double())) - ours)


def test_too_few_vectors_are_refused(toy, generated, reference):
    metric = KID(toy)
    metric.update(generated[:1], reference)
    with pytest.raises(ComposeError, match="at least 2"):
        metric.compute()
    with pytest.raises(ShapeError):
        polynomial_mmd(gaussian(5, 3, 1), gaussian(5, 4, 1))
    assert polynomial_mmd(gaussian(2, 3, 1), gaussian(5, 3, 1)).error is None
