import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_core.errors import ComposeError, ShapeError
from compose_metrics.frechet import Moments, frechet_distance, gaussian_frechet, trace_root


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(dim, seed=0):
    return torch.linalg.qr(draw(dim, dim, seed=seed)).Q


def rotated(values, basis):
    return basis @ torch.diag(values) @ basis.T


def vectors(n, dim, seed, shift=0.0):
    """Gaussian vectors with a spectrum that falls over three decades."""
    scale = torch.logspace(0, -3, dim, dtype=torch.float64)
    return draw(n, dim, seed=seed) * scale @ rotation(dim, seed=99).T + shift


@pytest.mark.parametrize("dim", [1, 2, 17, 64])
def test_gaussians_with_the_same_axes_have_a_closed_form(dim):
    """``|mu1 - mu2|^2 + sum (sqrt(a) - sqrt(b))^2`` for eigenvalues a and b."""
    basis = rotation(dim)
    a, b = draw(dim, seed=1).exp(), draw(dim, seed=2).exp()
    mean1, mean2 = draw(dim, seed=3), draw(dim, seed=4)
    exact = float(((mean1 - mean2) ** 2).sum() + ((a.sqrt() - b.sqrt()) ** 2).sum())
    found = gaussian_frechet(mean1, rotated(a, basis), mean2, rotated(b, basis))
    assert found == pytest.approx(exact, rel=1e-9)


@settings(max_examples=30)
@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(-0.9, 0.9), st.floats(0.1, 10))
def test_two_by_two_has_a_closed_form(a, b, r, s):
    """``tr sqrt(M) = sqrt(tr M + 2 sqrt(det M))`` for 2 x 2 matrices, here of different axes."""
    s1 = torch.tensor([[a, r * math.sqrt(a * b)], [r * math.sqrt(a * b), b]]).double()
    s2 = torch.tensor([[s, 0.0], [0.0, 1.0]]).double()
    product = s1 @ s2
    exact = math.sqrt(float(product.trace()) + 2 * math.sqrt(float(torch.linalg.det(product))))
    assert float(trace_root(s1, s2)) == pytest.approx(exact, rel=1e-9)


def test_the_distance_of_means_is_plain():
    mean = draw(30, seed=1)
    cov = rotated(draw(30).exp(), rotation(30))
    assert gaussian_frechet(mean, cov, mean + 2, cov) == pytest.approx(4 * 30, abs=1e-9)


@pytest.mark.parametrize(("rank1", "rank2"), [(10, 64), (64, 10), (10, 20), (1, 1), (0, 5)])
def test_singular_covariances_have_a_closed_form(rank1, rank2):
    basis, dim = rotation(64), 64
    a, b = (draw(dim, seed=s).exp() * (torch.arange(dim) < r) for s, r in ((1, rank1), (2, rank2)))
    exact = float((a * b).sqrt().sum())
    assert float(trace_root(rotated(a, basis), rotated(b, basis))) == pytest.approx(
        exact, rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 500), (500, 20), (500, 400)])
def test_all_routes_agree(n, m):
    x, y = vectors(n, 40, 1), vectors(m, 40, 2, shift=0.1)
    route = frechet_distance(x, y)
    a, b = Moments.of(x), Moments.of(y)
    for other in ((a, b), (x, b), (a, y)):
        assert frechet_distance(*other) == pytest.approx(route, abs=1e-7)
    assert frechet_distance(y, x) == pytest.approx(route, abs=1e-10)
    # Never squared, hence exact: the nuclear norm of the product of the centred sets.
    left = (x - x.mean(0)) / math.sqrt(n - 1)
    right = (y - y.mean(0)) / math.sqrt(m - 1)
    norm = torch.linalg.svdvals(left @ right.T).sum()
    spread = (left**2).sum() + (right**2).sum()
    exact = float(((x.mean(0) - y.mean(0)) ** 2).sum() + spread - 2 * norm)
    assert route == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("n", [15, 300])
def test_a_set_is_at_no_distance_from_itself(n):
    x = vectors(n, 40, 1)
    assert abs(frechet_distance(x, x)) < 1e-9
    assert abs(frechet_distance(Moments.of(x), x)) < 1e-7
    assert abs(frechet_distance(x, x.flip(0))) < 1e-9


@pytest.mark.parametrize("n", [20, 200])
def test_rotating_and_shifting_both_changes_nothing_and_scaling_squares(n):
    x, y = vectors(n, 40, 1), vectors(60, 40, 2)
    plain, basis = frechet_distance(x, y), rotation(40, seed=5)
    assert frechet_distance(x @ basis + 7, y @ basis + 7) == pytest.approx(plain, abs=1e-10)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * plain, rel=1e-10)


def test_the_bias_falls_with_one_over_n():
    """Two samples of one distribution are at a distance that halves when both double."""

    def bias(n):
        pairs = [(vectors(n, 6, 2 * s), vectors(n, 6, 2 * s + 1)) for s in range(30)]
        return sum(frechet_distance(x, y) for x, y in pairs) / len(pairs)

    assert bias(100) / bias(800) == pytest.approx(8, rel=0.3)


def test_moments_merge_like_one_set_even_far_from_the_origin():
    x = vectors(300, 12, 1, shift=1e6)
    parts = [Moments.of(part) for part in x.split([1, 50, 200, 49])]
    whole = parts[0].merged(parts[1]).merged(parts[3].merged(parts[2]))
    # The numbers themselves are rounded to 1e-10 at 1e6.
    torch.testing.assert_close(whole.scatter, Moments.of(x).scatter, rtol=0, atol=1e-6)
    assert whole.n == 300
    # Plain sums of x and x xT, as torchmetrics keeps them, lose what is left.
    plain = (x.T @ x - 300 * torch.outer(x.mean(0), x.mean(0))) / 299
    exact = (x - 1e6).T.cov()
    assert (whole.covariance - exact).abs().max() < 1e-8
    assert (plain - exact).abs().max() > 1e-3


def eigvals_distance(x, y):
    """What torch-fidelity, torchmetrics and torchaudio compute: unsymmetric eigenvalues."""
    s1, s2 = np.cov(x.numpy(), rowvar=False), np.cov(y.numpy(), rowvar=False)
    root = np.sqrt(np.linalg.eigvals(s1 @ s2).astype(complex)).real.sum()
    apart = (x.mean(0) - y.mean(0)).numpy()
    return float(apart @ apart + np.trace(s1) + np.trace(s2) - 2 * root)


def few_and_many():
    """60 and 1000 vectors of 400 dimensions with Inception's kind of spectrum; exact distance."""
    dim = 400
    scale = torch.arange(1, dim + 1, dtype=torch.float64) ** -0.75
    mix = (rotation(dim) * scale).T
    x, y = draw(60, dim, seed=1) @ mix, draw(1000, dim, seed=2) @ mix
    left, moments = (x - x.mean(0)) / math.sqrt(59), Moments.of(y)
    norm = torch.linalg.svdvals(left @ torch.linalg.cholesky(moments.covariance)).sum()
    apart = ((x.mean(0) - y.mean(0)) ** 2).sum()
    return x, y, float(apart + (left**2).sum() + moments.covariance.trace() - 2 * norm)


def test_with_few_vectors_others_err_and_this_does_not():
    x, y, exact = few_and_many()
    assert abs(frechet_distance(x, y) - exact) < 1e-11
    assert abs(frechet_distance(Moments.of(x), Moments.of(y)) - exact) < 1e-9
    # Roots of a few hundred eigenvalues that should be zero.
    assert abs(eigvals_distance(x, y) - exact) > 1e-7


def test_torch_fidelity_has_this_error():
    metric_fid = pytest.importorskip("torch_fidelity.metric_fid")
    x, y, exact = few_and_many()
    stats = [metric_fid.fid_features_to_statistics(side) for side in (x, y)]
    theirs = metric_fid.fid_statistics_to_metric(*stats, verbose=False)
    error = abs(theirs["frechet_inception_distance"] - exact)
    assert 1e-7 < error < 1e-4


def test_sqrtm_has_this_error_and_agrees_at_full_rank():
    linalg = pytest.importorskip("scipy.linalg")
    x, y, exact = few_and_many()
    for few in (True, False):
        first = x if few else vectors(800, 60, 1)
        second = y if few else vectors(900, 60, 2)
        a, b = Moments.of(first), Moments.of(second)
        root = np.trace(linalg.sqrtm((a.covariance @ b.covariance).numpy())).real
        apart = float(((a.mean - b.mean) ** 2).sum())
        theirs = apart + float(a.covariance.trace() + b.covariance.trace()) - 2 * root
        if few:
            assert 1e-7 < abs(theirs - exact) < 1e-4
        else:
            assert theirs == pytest.approx(frechet_distance(first, second), abs=1e-9)


def test_bad_sets_are_refused():
    x = draw(5, 3)
    with pytest.raises(ShapeError, match="different length"):
        frechet_distance(x, draw(5, 4))
    with pytest.raises(ComposeError, match="at least two"):
        frechet_distance(x[:1], x)
    with pytest.raises(ShapeError):
        frechet_distance(x[:0], x)
    broken = x.clone()
    broken[2, 1] = float("nan")
    with pytest.raises(ComposeError, match=r"rows \[2\]"):
        frechet_distance(broken, x)


def test_devices_agree(device):
    x, y = vectors(30, 64, 1).to(device), vectors(500, 64, 2).to(device)
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(x.cpu(), y.cpu()), abs=1e-9)
