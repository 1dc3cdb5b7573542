"""Schedules: equal to the tables that networks were trained on, and to their papers' formulas."""

import math
from typing import Any

import diffusers
import pytest
import torch

from compose_core.errors import ScheduleError, ShapeError
from compose_core.schedule import DiscreteVP, KarrasVE, Level, Rectified, Schedule

STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
CONFIGS: list[dict[str, Any]] = [
    {},
    STABLE,
    {"beta_schedule": "squaredcos_cap_v2"},
    {**STABLE, "rescale_betas_zero_snr": True},
    {"beta_schedule": "linear", "rescale_betas_zero_snr": True, "num_train_timesteps": 400},
    {"trained_betas": [0.01, 0.02, 0.05, 0.1, 0.3], "num_train_timesteps": 5},
]
SCHEDULES: list[Schedule] = [
    DiscreteVP.from_config(STABLE),
    DiscreteVP.from_config({"beta_schedule": "squaredcos_cap_v2"}),
    KarrasVE(),
    Rectified(shift=3.0),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_table_is_that_of_diffusers_bit_for_bit(config: dict[str, Any]):
    theirs = diffusers.DDIMScheduler(**config).alphas_cumprod.double()
    ours = DiscreteVP.from_config(config)
    assert torch.equal(ours.alphas_cumprod, theirs)
    level = ours.level(torch.arange(len(ours)))
    torch.testing.assert_close(level.alpha**2, theirs, rtol=1e-14, atol=0)
    torch.testing.assert_close(level.sigma**2, 1 - theirs, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("sigmoid", diffusers.DDPMScheduler),
        ("laplace", diffusers.DDPMScheduler),
        ("exp", diffusers.HeunDiscreteScheduler),
    ],
)
def test_rarer_betas_are_those_of_diffusers(name: str, owner: Any):
    theirs = owner(beta_schedule=name).betas
    ours = DiscreteVP.from_config({"beta_schedule": name})
    assert torch.equal(ours.alphas_cumprod, (1 - theirs).cumprod(0).double())


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("steps", [1, 2, 7, 30, 50, 333])
def test_times_are_those_of_diffusers(spacing: Any, offset: int, steps: int):
    config = {**STABLE, "timestep_spacing": spacing, "steps_offset": offset}
    theirs = diffusers.DDIMScheduler(**config)
    theirs.set_timesteps(steps)
    ours = DiscreteVP.from_config(config)
    assert list(ours.times(steps)) == theirs.timesteps.tolist()
    levels = ours.levels(steps)
    assert [float(x.t) for x in levels[:-1]] == theirs.timesteps.tolist()
    assert len(levels) == steps + 1 and levels[-1].is_clean


def test_set_alpha_to_one_decides_the_last_level():
    config = {**STABLE, "set_alpha_to_one": False}
    last = DiscreteVP.from_config(config).levels(10)[-1]
    final = diffusers.DDIMScheduler(**config).final_alpha_cumprod.double()
    torch.testing.assert_close(last.alpha**2, final, rtol=1e-14, atol=0)
    assert not last.is_clean


def test_zero_terminal_snr_ends_in_pure_noise():
    schedule = DiscreteVP.from_config({**STABLE, "rescale_betas_zero_snr": True})
    last = schedule.level(999)
    assert float(last.alpha) == 0 and float(last.sigma) == 1
    assert float(schedule.match(last).t) == 999


def test_between_integers_log_snr_is_linear():
    schedule = DiscreteVP.from_config(STABLE)
    t = torch.linspace(200, 201, 11, dtype=torch.float64)
    level = schedule.level(t)
    straight = torch.lerp(level.log_snr[0], level.log_snr[-1], t - 200)
    torch.testing.assert_close(level.log_snr, straight, rtol=1e-12, atol=1e-12)
    norm = torch.hypot(level.alpha, level.sigma)
    torch.testing.assert_close(norm, torch.ones_like(norm), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("config", CONFIGS)
def test_more_time_is_more_noise(config: dict[str, Any]):
    schedule = DiscreteVP.from_config(config)
    t = torch.linspace(0, len(schedule) - 1, 4 * len(schedule) - 3, dtype=torch.float64)
    assert bool((schedule.level(t).log_snr.diff() < 0).all())


@pytest.mark.parametrize("here", SCHEDULES)
@pytest.mark.parametrize("there", SCHEDULES)
def test_match_keeps_the_ratio_and_comes_back(here: Schedule, there: Schedule):
    for level in here.levels(9)[1:]:
        matched = there.match(level)
        torch.testing.assert_close(
            matched.sigma * level.alpha, level.sigma * matched.alpha, rtol=1e-13, atol=0
        )
        back = here.match(matched)
        for name in ("alpha", "sigma"):
            torch.testing.assert_close(
                getattr(back, name), getattr(level, name), rtol=1e-12, atol=1e-14
            )


@pytest.mark.parametrize("config", CONFIGS)
def test_match_finds_levels_of_the_table_exactly(config: dict[str, Any]):
    schedule = DiscreteVP.from_config(config)
    level = schedule.level(torch.arange(len(schedule)))
    assert schedule.match(level).same(level)
    if "rescale_betas_zero_snr" not in config:
        assert torch.equal(schedule.match(KarrasVE().match(level)).t, level.t)


def test_match_beyond_the_table_keeps_the_ratio():
    schedule = DiscreteVP.from_config(STABLE)
    far = schedule.match(Level.of(1.0, 1e4, 1e4))
    assert float(far.ratio) == pytest.approx(1e4) and float(far.t) == 999
    clean = schedule.match(Level.of(1.0, 0.0, 0.0))
    assert clean.is_clean and float(clean.alpha) == 1 and float(clean.t) == 0


def test_pure_noise_matches_everywhere_but_in_an_exploding_schedule():
    pure = Rectified().level(1.0)
    assert float(DiscreteVP.from_config(STABLE).match(pure).alpha) == 0
    with pytest.raises(ScheduleError, match="pure noise"):
        KarrasVE().match(pure)


def test_karras_levels_follow_equation_5():
    levels = KarrasVE(sigma_min=0.002, sigma_max=80, rho=7).levels(18)
    for i, level in enumerate(levels[:-1]):
        root = 80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))
        assert float(level.sigma) == pytest.approx(root**7, rel=1e-12)
        assert float(level.alpha) == 1 and float(level.t) == float(level.sigma)
    assert len(levels) == 19 and levels[-1].is_clean
    assert [float(x.sigma) for x in KarrasVE().levels(1)] == pytest.approx([80, 0])


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_rectified_levels_are_those_of_diffusers(shift: float):
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(sigmas=[1 - i / 20 for i in range(20)])
    ours = torch.stack([x.sigma for x in Rectified(shift=shift).levels(20)])
    torch.testing.assert_close(ours.float(), theirs.sigmas, rtol=1e-6, atol=1e-7)


def test_a_level_multiplies_any_tensor_without_changing_its_dtype():
    shared, each = KarrasVE().level(2.0), KarrasVE().level(torch.tensor([2.0, 3.0]))
    for dtype in (torch.float16, torch.float32, torch.float64):
        x = torch.ones(2, 3, 4, dtype=dtype)
        for level in (shared, each):
            alpha, sigma = level.to_like(x)
            assert (alpha * x).dtype == dtype and (sigma * x).shape == x.shape
        assert (each.to_like(x)[1] * x)[:, 0, 0].tolist() == [2.0, 3.0]
    with pytest.raises(ShapeError):
        each.to_like(torch.ones(3, 1))


def test_levels_expand_and_join():
    level = KarrasVE().level(2.0)
    joined = Level.cat([level.expand(2), KarrasVE().level(torch.tensor([5.0]))])
    assert joined.sigma.tolist() == [2, 2, 5] and joined.shape == (3,)
    assert joined.expand(3).same(joined) and not joined.same(level)
    with pytest.raises(ShapeError):
        joined.expand(2)


def test_too_many_steps_for_leading_spacing_are_explained():
    """Diffusers makes these times, and fails at the first step."""
    schedule = DiscreteVP.from_config({**STABLE, "steps_offset": 1})
    assert schedule.times(999)[0] == 999
    with pytest.raises(ScheduleError, match="1000 steps do not fit") as found:
        schedule.times(1000)
    assert found.value.remedy is not None and "trailing" in found.value.remedy
    assert schedule.times(1000, spacing="trailing")[0] == 999
    with pytest.raises(ScheduleError, match="do not fit"):
        DiscreteVP.from_config({**STABLE, "steps_offset": 100}).times(50)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: DiscreteVP(torch.tensor([0.1, 0.0])),
        lambda: DiscreteVP(torch.tensor([0.1, math.nan])),
        lambda: DiscreteVP(torch.tensor([[0.1, 0.2]])),
        lambda: DiscreteVP(torch.tensor([0.1, 0.2]), spacing="even"),  # pyright: ignore
        lambda: DiscreteVP.from_config({"beta_schedule": "no such"}),
        lambda: DiscreteVP.from_config({"_class_name": "FlowMatchEulerDiscreteScheduler"}),
        lambda: SCHEDULES[0].level(-0.1),
        lambda: SCHEDULES[0].level(torch.tensor([3.0, 1000.0])),
        lambda: SCHEDULES[0].level(math.nan),
        lambda: KarrasVE().level(torch.tensor([1.0, math.nan])),
        lambda: Rectified().level(math.nan),
        lambda: SCHEDULES[0].levels(0),
        lambda: SCHEDULES[0].levels(1001),
        lambda: DiscreteVP.from_config({**STABLE, "steps_offset": 1}).levels(1000),
        lambda: KarrasVE(sigma_min=0),
        lambda: KarrasVE(sigma_min=2, sigma_max=1),
        lambda: KarrasVE().level(-1.0),
        lambda: KarrasVE().levels(0),
        lambda: Rectified(shift=0),
        lambda: Rectified().level(1.5),
        lambda: Level(torch.ones(2), torch.ones(3), torch.ones(2)),
        lambda: Level(*[torch.ones(2, 2)] * 3),
    ],
)
def test_impossible_schedules_are_refused(wrong: Any):
    with pytest.raises(ScheduleError):
        wrong()
