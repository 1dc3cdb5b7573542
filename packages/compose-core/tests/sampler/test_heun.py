"""Heun is EDM's Algorithm 2, number for number, and its churn has the variance of the formula."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from compose_core.denoiser import Denoiser, Gaussian
from compose_core.errors import ScheduleError, UsageError
from compose_core.prediction import Prediction
from compose_core.sampler import Heun
from compose_core.schedule import DiscreteVP, KarrasVE, Level, Rectified

MEAN, VAR = 0.3, 0.25
STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def oracle() -> Gaussian:
    return Gaussian(*torch.tensor([MEAN, VAR], dtype=torch.float64))


class Recorder(Denoiser):
    """The Gaussian oracle, keeping what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.oracle, self.asked = oracle(), []

    def queries(self, x_t: Tensor, level: Level, state: Any) -> Any:
        return ()

    def combine(self, answers: Any, x_t: Tensor, level: Level, state: Any) -> Prediction:
        self.asked.append((x_t, level))
        return self.oracle(x_t, level)


def algorithm_2(
    x: Tensor, sigmas: list[float], churn: float, low: float, high: float, s_noise: float, g: Any
) -> Tensor:
    """Written from the paper, with the denoiser of N(MEAN, VAR) data spelled out."""

    def d(x: Tensor, sigma: float) -> Tensor:
        denoised = MEAN + VAR / (VAR + sigma**2) * (x - MEAN)
        return (x - denoised) / sigma

    steps = len(sigmas) - 1
    for i in range(steps):
        gamma = min(churn / steps, math.sqrt(2) - 1) if low <= sigmas[i] <= high else 0.0
        hat = sigmas[i] + gamma * sigmas[i]
        if gamma > 0:
            eps = s_noise * torch.randn(x.shape, generator=g, dtype=x.dtype)
            x = x + math.sqrt(hat**2 - sigmas[i] ** 2) * eps
        slope = d(x, hat)
        ahead = x + (sigmas[i + 1] - hat) * slope
        if sigmas[i + 1] != 0:
            ahead = x + (sigmas[i + 1] - hat) * (slope + d(ahead, sigmas[i + 1])) / 2
        x = ahead
    return x


@pytest.mark.parametrize(
    "settings",
    [
        (0.0, 0.0, math.inf, 1.0),
        (5.0, 0.0, math.inf, 1.0),
        (20.0, 0.05, 50.0, 1.003),
        (80.0, 0.0, math.inf, 1.007),  # gamma at its bound of sqrt(2) - 1
    ],
)
def test_heun_is_algorithm_2(settings: tuple[float, float, float, float]):
    levels = KarrasVE().levels(18)
    a, b = (torch.Generator().manual_seed(3) for _ in "ab")
    x = 80 * torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = Heun(levels, *settings).sample(oracle(), x, generator=a)
    theirs = algorithm_2(x, [float(level.sigma) for level in levels], *settings, b)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("schedule", [DiscreteVP.from_config(STABLE), Rectified()])
def test_heun_in_another_schedule_is_algorithm_2_in_that_one(schedule: Any):
    levels = schedule.levels(12)[1:]  # Rectified starts at pure noise, which sigma cannot say
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b = (torch.Generator().manual_seed(3) for _ in "ab")
    ours = Heun(levels, churn=8.0).sample(oracle(), x, generator=a)
    ratios = [float(level.ratio) for level in levels]
    theirs = algorithm_2(x / levels[0].alpha, ratios, 8.0, 0.0, math.inf, 1.0, b)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def churned_variance(variance: float, sigmas: list[float], churn: float, s_noise: float) -> float:
    """The variance of the result in closed form: with Gaussian data every step is affine in x."""
    steps = len(sigmas) - 1
    for i in range(steps):
        hat = sigmas[i] * (1 + min(churn / steps, math.sqrt(2) - 1))
        after = sigmas[i + 1]
        euler = 1 + (after - hat) * hat / (VAR + hat**2)
        correction = after / (VAR + after**2) * euler if after else hat / (VAR + hat**2)
        factor = 1 + (after - hat) / 2 * (hat / (VAR + hat**2) + correction)
        variance = factor**2 * (variance + (hat**2 - sigmas[i] ** 2) * s_noise**2)
    return variance


@pytest.mark.parametrize(("churn", "s_noise"), [(0.0, 1.0), (10.0, 1.0), (40.0, 1.1)])
def test_churn_has_the_variance_of_the_closed_form(churn: float, s_noise: float):
    levels, g = KarrasVE(sigma_max=20).levels(16), torch.Generator().manual_seed(0)
    sampler = Heun(levels, churn=churn, s_noise=s_noise)
    x = sampler.initial((40_000, 4), g, dtype=torch.float64)
    x = sampler.sample(oracle(), x, generator=g)
    exact = churned_variance(20**2, [float(level.sigma) for level in levels], churn, s_noise)
    assert float(x.var()) == pytest.approx(exact, rel=0.015)  # 5 standard errors
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.02)


def test_noise_is_added_before_the_question():
    """The point at which samplers that churn after the network call go wrong."""
    levels, g = KarrasVE(sigma_max=2).levels(4), torch.Generator().manual_seed(0)
    denoiser, x = Recorder(), torch.zeros(50_000, 1, dtype=torch.float64)
    next(Heun(levels, churn=1.2).steps(denoiser, x, generator=g))
    asked, level = denoiser.asked[0]
    assert float(level.sigma) == pytest.approx(2 * 1.3, rel=1e-12)
    assert float(asked.var()) == pytest.approx(2.6**2 - 2**2, rel=0.03)


def test_churn_stays_within_its_bounds():
    levels, denoiser = KarrasVE().levels(10), Recorder()
    g = torch.Generator().manual_seed(0)
    Heun(levels, churn=3.0, s_min=0.1, s_max=10.0).sample(denoiser, torch.ones(1, 1), generator=g)
    for level, (_, asked) in zip(levels[:-1], denoiser.asked[::2], strict=True):
        gamma = 0.3 if 0.1 <= float(level.sigma) <= 10 else 0.0
        assert float(asked.sigma) == pytest.approx(float(level.sigma) * (1 + gamma), rel=1e-12)


def test_a_deterministic_run_draws_nothing():
    g = torch.Generator().manual_seed(0)
    before = g.get_state()
    Heun(KarrasVE().levels(4)).sample(oracle(), torch.ones(1, 1), generator=g)
    assert torch.equal(g.get_state(), before)


def test_along_the_flow_starts_from_pure_noise():
    g = torch.Generator().manual_seed(0)
    sampler = Heun(Rectified().levels(20), churn=4.0, along="flow")
    x = sampler.initial((20_000, 1), g, dtype=torch.float64)
    x = sampler.sample(oracle(), x, generator=g)
    assert float(x.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(x.var()) == pytest.approx(VAR, rel=0.03)


def test_wrong_parameters_are_refused():
    levels = KarrasVE().levels(3)
    for wrong in (
        lambda: Heun(levels, churn=-1),
        lambda: Heun(levels, s_noise=-1),
        lambda: Heun(levels, s_min=2, s_max=1),
    ):
        with pytest.raises(ScheduleError, match="churn"):
            wrong()
    with pytest.raises(ScheduleError, match="pure noise"):
        Heun(Rectified().levels(3))
    with pytest.raises(UsageError, match="generator"):
        Heun(levels, churn=1.0).sample(oracle(), torch.ones(1, 1))
