"""DDIM and Euler: equal to diffusers and to each other, with the order that theory gives."""

import functools
import math
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from compose_core.denoiser import Denoiser, Gaussian, Mixture
from compose_core.errors import ScheduleError, UsageError
from compose_core.prediction import Prediction
from compose_core.sampler import DDIM, Euler, Heun
from compose_core.schedule import DiscreteVP, KarrasVE, Level, Rectified, Schedule

STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


class Wavy(Denoiser):
    """Some smooth eps of the sample and its time: nothing a sampler could cancel by luck."""

    def queries(self, x_t: Tensor, level: Level, state: Any) -> Any:
        return ()

    def combine(self, answers: Any, x_t: Tensor, level: Level, state: Any) -> Prediction:
        return Prediction.from_eps(x_t, level, wavy(x_t, level.t))


def wavy(x: Tensor, t: Tensor) -> Tensor:
    return 0.8 * x + 0.3 * torch.sin(3 * x + t / 300)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("config", "steps"),
    [
        ({}, 10),
        ({**STABLE, "steps_offset": 1, "set_alpha_to_one": False}, 7),
        ({**STABLE, "steps_offset": 1}, 30),
        ({**STABLE, "timestep_spacing": "trailing"}, 50),
        ({"beta_schedule": "squaredcos_cap_v2"}, 25),
        ({**STABLE, "timestep_spacing": "linspace", "num_train_timesteps": 20}, 20),
    ],
)
def test_ddim_is_that_of_diffusers_step_by_step(config: dict[str, Any], steps: int, eta: float):
    """Where its own `t - T // steps` is the next timestep; elsewhere it steps past the level."""
    theirs = diffusers.DDIMScheduler(**config, clip_sample=False)
    theirs.set_timesteps(steps)
    ours = DDIM(DiscreteVP.from_config(config).levels(steps), eta=eta)
    x = noise(2, 3, 8, 8)
    a, b = (torch.Generator().manual_seed(5) for _ in "ab")
    moments = ours.steps(Wavy(), x, generator=a)
    for t, moment in zip(theirs.timesteps, moments, strict=True):
        x = theirs.step(wavy(x, t), t, x, eta=eta, generator=b).prev_sample
        assert int(moment.step.now.t) == int(t)
        torch.testing.assert_close(moment.x_t, x, rtol=1e-5, atol=1e-5)  # theirs is float32


def test_ddim_from_pure_noise_is_that_of_diffusers():
    config = {**STABLE, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    theirs = diffusers.DDIMScheduler(**config, clip_sample=False, prediction_type="v_prediction")
    theirs.set_timesteps(20)

    class WavyV(Wavy):
        def combine(self, answers: Any, x_t: Tensor, level: Level, state: Any) -> Prediction:
            return Prediction.from_velocity(x_t, level, wavy(x_t, level.t))

    x = noise(2, 3, 8, 8)
    moments = DDIM(DiscreteVP.from_config(config).levels(20)).steps(WavyV(), x)
    for t, moment in zip(theirs.timesteps, moments, strict=True):
        x = theirs.step(wavy(x, t), t, x).prev_sample
        torch.testing.assert_close(moment.x_t, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "schedule", [DiscreteVP.from_config(STABLE), KarrasVE(), Rectified(shift=3.0)]
)
def test_euler_is_ddim_without_noise(schedule: Schedule):
    levels, x = schedule.levels(12), noise(2, 3, 4)
    denoiser = Mixture([1, 2], [-1.0, 0.5], [0.1, 0.3])
    a, b = (sampler(levels).sample(denoiser, x) for sampler in (DDIM, Euler))
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_euler_is_the_textbook_step():
    """In the exploding schedule `x + (s' - s) eps`, in the rectified one `x + (t' - t) u`."""
    denoiser = Gaussian(0.3, 0.5)
    for schedule, slope in ((KarrasVE(), "eps"), (Rectified(), "flow")):
        x = noise(1, 5)
        for moment in Euler(schedule.levels(6)).steps(denoiser, x):
            now, after = moment.step.now, moment.step.next
            x = x + (after.t - now.t) * getattr(denoiser(x, now), slope)
            torch.testing.assert_close(moment.x_t, x, rtol=1e-12, atol=1e-12)


MIXTURE = Mixture([0.3, 0.7], [-1.0, 0.8], [0.04, 0.09])


def karras(steps: int) -> tuple[Level, ...]:
    """EDM's levels without the last jump to zero, whose length does not depend on the steps."""
    return KarrasVE(sigma_min=0.05, sigma_max=10).levels(steps + 1)[:-1]


@functools.cache
def truth(path: str) -> Tensor:
    """Where the flow through the mixture leads: a far finer walk."""
    if path == "flow":
        return Heun(Rectified().levels(400), along="flow").sample(MIXTURE, noise(16, 1))
    return Heun(karras(400)).sample(MIXTURE, 10 * noise(16, 1))


def order(few: Tensor, many: Tensor, exact: Tensor, times: int) -> float:
    """The measured order: how the error falls when there are `times` as many steps."""
    return math.log(float((few - exact).abs().mean() / (many - exact).abs().mean()), times)


@pytest.mark.parametrize(("sampler", "expected"), [(DDIM, 1), (Euler, 1), (Heun, 2)])
def test_order_of_convergence(sampler: Any, expected: int):
    walks = [sampler(karras(n)).sample(MIXTURE, 10 * noise(16, 1)) for n in (20, 80)]
    assert order(*walks, truth("sigma"), 4) == pytest.approx(expected, abs=0.15)


def test_order_along_the_flow_from_pure_noise():
    walks = [
        Heun(Rectified().levels(n), along="flow").sample(MIXTURE, noise(16, 1)) for n in (20, 80)
    ]
    assert order(*walks, truth("flow"), 4) == pytest.approx(2, abs=0.2)


def test_ancestral_noise_keeps_the_marginal():
    """Many small steps with eta = 1 carry the exact prior to the exact data."""
    schedule, data = DiscreteVP.from_config({"beta_schedule": "squaredcos_cap_v2"}), (0.4, 0.3)
    sampler, g = DDIM(schedule.levels(500), eta=1.0), torch.Generator().manual_seed(1)
    x = sampler.sample(Gaussian(*data), sampler.initial((20_000, 1), g), generator=g)
    assert float(x.mean()) == pytest.approx(data[0], abs=0.02)
    assert float(x.var()) == pytest.approx(data[1], rel=0.04)


def test_ddim_walks_back_up():
    """Inversion: up and down again by small steps is where we began."""
    levels = karras(400)
    x = noise(8, 1) * 0.5
    up = DDIM(levels[::-1]).sample(Gaussian(0.3, 0.25), x)
    again = DDIM(levels).sample(Gaussian(0.3, 0.25), up)
    torch.testing.assert_close(again, x, rtol=0, atol=0.02)


def test_wrong_parameters_are_refused():
    levels = KarrasVE().levels(3)
    for wrong in (
        lambda: DDIM(levels, eta=1.5),
        lambda: Euler(levels[:1]),
        lambda: Euler([*levels, levels[0]]),
        lambda: Euler([level.expand(2) for level in levels]),
    ):
        with pytest.raises(ScheduleError):
            wrong()
    with pytest.raises(UsageError, match="generator"):
        DDIM(levels, eta=1.0).sample(Gaussian(0.0, 1.0), noise(1, 2))
