"""The oracles are the truth: against Bayes by numerical integration and by sampling formulas."""

import pytest
import torch

from compose_core.denoiser import Gaussian, Mixture
from compose_core.errors import ShapeError
from compose_core.schedule import KarrasVE, Rectified
from compose_core.testing.laws import assert_close, check_denoiser
from compose_core.testing.models import stable_diffusion_schedule

LEVELS = {
    "vp": stable_diffusion_schedule().level(torch.tensor(300.0)),
    "ve": KarrasVE().level(2.5),
    "flow": Rectified().level(0.6),
}


def posterior_mean(x_t, level, density):
    """E[x0 | x_t] of one-dimensional data by integration over x0."""
    x0 = torch.linspace(-30, 30, 200_001, dtype=torch.float64)
    noise = (x_t[:, None] - level.alpha * x0) / level.sigma
    weight = density(x0) * torch.exp(-0.5 * noise**2)
    return (weight * x0).sum(1) / weight.sum(1)


def normal(x, mean, var):
    return torch.exp(-((x - mean) ** 2) / (2 * var)) / var**0.5


X = torch.linspace(-2, 2, 9, dtype=torch.float64)


@pytest.mark.parametrize("name", LEVELS)
def test_gaussian_is_the_posterior_mean(name):
    expected = posterior_mean(X, LEVELS[name], lambda x: normal(x, 0.7, 0.3))
    actual = Gaussian(0.7, 0.3)(X[:, None], LEVELS[name]).x0[:, 0]
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", LEVELS)
def test_mixture_is_the_posterior_mean(name):
    def density(x):
        return 1 * normal(x, -1.0, 0.1) + 3 * normal(x, 1.5, 0.4)

    expected = posterior_mean(X, LEVELS[name], density)
    mixture = Mixture([1.0, 3.0], [-1.0, 1.5], [0.1, 0.4])
    torch.testing.assert_close(mixture(X[:, None], LEVELS[name]).x0[:, 0], expected, rtol=1e-6,
                               atol=1e-6)  # fmt: skip


def test_one_component_is_the_gaussian_and_copies_change_nothing():
    x_t = torch.randn((3, 2, 4), generator=torch.Generator().manual_seed(0)).double()
    mean, var = x_t[0] / 2, (x_t[1] ** 2 + 0.1)
    expected = Gaussian(mean, var)(x_t, LEVELS["vp"]).x0
    one, two = Mixture([5.0], [mean], [var]), Mixture([1.0, 2.0], [mean] * 2, [var] * 2)
    assert_close(one(x_t, LEVELS["vp"]).x0, expected, "one component")
    assert_close(two(x_t, LEVELS["vp"]).x0, expected, "equal components")


def test_far_away_samples_do_not_overflow():
    mixture = Mixture([1.0, 1.0], [-1.0, 1.0], [1e-4, 1e-4])
    x0 = mixture(torch.full((1, 1000), 300.0), KarrasVE().level(0.002)).x0
    torch.testing.assert_close(x0, Gaussian(1.0, 1e-4)(torch.full((1, 1000), 300.0),
                                                       KarrasVE().level(0.002)).x0)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_dtype_stays(dtype):
    x_t = torch.ones(2, 3, dtype=dtype)
    assert Gaussian(0.0, 1.0)(x_t, LEVELS["vp"]).x0.dtype == dtype
    assert Mixture([1, 1], [0.0, 1.0], [1.0, 1.0])(x_t, LEVELS["vp"]).x0.dtype == dtype


def test_limits():
    """Without noise the sample is the data; in pure noise the mean is all that is known."""
    x_t = torch.ones(1, 3, dtype=torch.float64) * 5
    clean, pure = Rectified().level(0.0), Rectified().level(1.0)
    assert_close(Gaussian(0.7, 0.3)(x_t, clean).x0, x_t, "clean")
    assert_close(Gaussian(0.7, 0.3)(x_t, pure).x0, torch.full_like(x_t, 0.7), "pure noise")


def test_the_laws():
    x_t = torch.randn((3, 2, 4), generator=torch.Generator().manual_seed(0)).double()
    check_denoiser(Gaussian(0.5, 0.2), x_t, LEVELS["vp"])
    check_denoiser(Mixture([1, 2], [0.5, -1.0], [0.2, 0.3]), x_t, LEVELS["vp"])


def test_nonsense_is_refused():
    with pytest.raises(ShapeError, match="positive"):
        Gaussian(0.0, 0.0)
    with pytest.raises(ShapeError, match="positive"):
        Mixture([1.0, -1.0], [0.0, 1.0], [1.0, 1.0])
    with pytest.raises(ShapeError, match="one weight, mean and variance"):
        Mixture([1.0], [0.0, 1.0], [1.0])
