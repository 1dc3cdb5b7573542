"""Any diffusers scheduler: the same numbers as a hand-written loop, and the right statistics."""

from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from compose_core.denoiser import Denoiser, Gaussian
from compose_core.errors import ComposeError, ScheduleError
from compose_core.prediction import Prediction, rescale
from compose_core.sampler import DDIM, FromDiffusers
from compose_core.schedule import DiscreteVP, KarrasVE, Level

# KDPM2 mixes numpy and torch in a way that numpy calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")

STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
DPM = {"algorithm_type": "sde-dpmsolver++"}
EPSILON: list[tuple[str, dict[str, Any]]] = [
    ("DDIMScheduler", {"clip_sample": False}),
    ("DDIMScheduler", {"clip_sample": True}),
    ("DDIMParallelScheduler", {"clip_sample": False}),
    ("CogVideoXDDIMScheduler", {"clip_sample": False}),
    ("DDPMScheduler", {"clip_sample": False}),
    ("DDPMScheduler", {"clip_sample": False, "variance_type": "fixed_large"}),
    ("PNDMScheduler", {}),
    ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1, **STABLE}),
    ("LCMScheduler", {}),
    ("TCDScheduler", {}),
    ("EulerDiscreteScheduler", {}),
    ("EulerDiscreteScheduler", {"use_karras_sigmas": True, "timestep_spacing": "trailing"}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("HeunDiscreteScheduler", {}),
    ("LMSDiscreteScheduler", {}),
    ("KDPM2DiscreteScheduler", {}),
    ("KDPM2AncestralDiscreteScheduler", {}),
    ("DPMSolverMultistepScheduler", {}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True, "solver_order": 3}),
    ("DPMSolverMultistepScheduler", DPM),
    ("DPMSolverSinglestepScheduler", {"lower_order_final": True}),
    ("DEISMultistepScheduler", {}),
    ("UniPCMultistepScheduler", {}),
    ("SASolverScheduler", {}),
]
OTHERS: list[tuple[str, dict[str, Any], str]] = [
    ("DDIMScheduler", {"clip_sample": False}, "v_prediction"),
    ("DDIMScheduler", {"clip_sample": False}, "sample"),
    ("EulerDiscreteScheduler", {}, "v_prediction"),
    ("EulerDiscreteScheduler", {}, "sample"),
    ("HeunDiscreteScheduler", {}, "v_prediction"),
    ("DPMSolverMultistepScheduler", {}, "v_prediction"),
    ("UniPCMultistepScheduler", {}, "sample"),
    ("UniPCMultistepScheduler", {"use_flow_sigmas": True}, "flow_prediction"),
    ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True}, "flow_prediction"),
    ("FlowMatchEulerDiscreteScheduler", {}, "flow"),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}, "flow"),
    ("FlowMatchHeunDiscreteScheduler", {}, "flow"),
    ("FlowMatchLCMScheduler", {}, "flow"),
    ("EDMEulerScheduler", {}, "raw"),
    ("EDMDPMSolverMultistepScheduler", {}, "raw"),
    ("IPNDMScheduler", {}, "v_prediction"),
]
CASES = [(name, config, "epsilon") for name, config in EPSILON] + OTHERS


def build(name: str, config: dict[str, Any], kind: str) -> Any:
    typed = (
        {"prediction_type": kind} if kind in ("v_prediction", "sample", "flow_prediction") else {}
    )
    if name == "IPNDMScheduler":
        typed = {}
    return getattr(diffusers, name)(**config, **typed)


def wavy(x: Tensor, t: Tensor | float) -> Tensor:
    """A made-up network: what it says depends on the scaled sample and on the timestep."""
    return 0.7 * x + 0.2 * torch.sin(2 * x + t / 300)


class Wavy(Denoiser):
    """The same network as one of ours: in its own scaling, in its own language."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def queries(self, x_t: Tensor, level: Level, state: Any) -> Any:
        return ()

    def combine(self, answers: Any, x_t: Tensor, level: Level, state: Any) -> Prediction:
        if self.kind.startswith("flow"):
            return Prediction.from_flow(x_t, level, wavy(x_t, level.t))
        if self.kind == "raw":  # EDM's preconditioning with sigma_data = 0.5
            s, d = level.sigma, 0.5
            out = wavy(x_t / (s**2 + d**2).sqrt(), level.t)
            skip, gain = d**2 / (s**2 + d**2), s * d / (s**2 + d**2).sqrt()
            return Prediction(x_t, level, skip * x_t + gain * out)
        norm = torch.hypot(level.alpha, level.sigma)
        own = Level(level.alpha / norm, level.sigma / norm, level.t)
        x = rescale(x_t, level, own)
        words = {"epsilon": "eps", "sample": "x0", "v_prediction": "velocity"}
        said = getattr(Prediction, f"from_{words[self.kind]}")(x, own, wavy(x, level.t))
        return said.at(x_t, level)


def by_hand(scheduler: Any, steps: int, x: Tensor, g: torch.Generator) -> Tensor:
    """The loop that every diffusers pipeline writes."""
    scheduler.set_timesteps(steps)
    takes = "generator" in type(scheduler).step.__code__.co_varnames
    for t in scheduler.timesteps:
        scaled = (
            scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        )
        options = {"generator": g} if takes else {}
        x = scheduler.step(wavy(scaled, t), t, x, return_dict=False, **options)[0]
    return x


@pytest.mark.parametrize(("name", "config", "kind"), CASES)
def test_it_is_the_loop_written_by_hand(name: str, config: dict[str, Any], kind: str):
    sampler = FromDiffusers(build(name, config, kind), 10)
    x = sampler.initial((2, 3, 4, 4), torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b = (torch.Generator().manual_seed(7) for _ in "ab")
    ours = sampler.sample(Wavy(kind), x, generator=a)
    theirs = by_hand(build(name, config, kind), 10, x, b)
    # Schedulers keep their tables, and some their samples, in float32.
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)
    assert len(sampler.levels) == len(list(sampler.steps(Wavy(kind), x, generator=a))) + 1


STATISTICAL = [
    case
    for case in CASES
    if case[0] not in ("LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler")  # few steps only
    and not case[1].get("clip_sample")
]


@pytest.mark.parametrize(("name", "config", "kind"), STATISTICAL)
def test_it_reaches_the_gaussian(name: str, config: dict[str, Any], kind: str):
    sampler, g = FromDiffusers(build(name, config, kind), 100), torch.Generator().manual_seed(0)
    x = sampler.sample(Gaussian(0.3, 0.25), sampler.initial((64, 1, 8, 8), g), generator=g)
    assert float(x.mean()) == pytest.approx(0.3, abs=0.05)
    assert float(x.var()) == pytest.approx(0.25, rel=0.2)


def test_each_network_is_asked_in_its_own_schedule():
    """A VP network under an EDM scheduler, or the reverse, hears the same picture."""
    vp = DiscreteVP.from_config(STABLE)
    for name, kind in (("EDMEulerScheduler", "raw"), ("FlowMatchEulerDiscreteScheduler", "flow")):
        for level in FromDiffusers(build(name, {}, kind), 6).levels[1:-1]:
            assert float(vp.match(level).ratio) == pytest.approx(float(level.ratio), rel=1e-12)
            assert float(KarrasVE().match(level).sigma) == pytest.approx(float(level.ratio))


def test_ddim_of_diffusers_is_ours():
    config = {**STABLE, "steps_offset": 1, "set_alpha_to_one": False}
    theirs = FromDiffusers(diffusers.DDIMScheduler(**config, clip_sample=False), 10)
    ours = DDIM(DiscreteVP.from_config(config).levels(10))
    for a, b in zip(ours.levels, theirs.levels, strict=True):
        assert a.same(b)
    x = ours.initial((1, 2, 4, 4), torch.Generator().manual_seed(0))
    a, b = (sampler.sample(Wavy("epsilon"), x) for sampler in (ours, theirs))
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_options_and_timing_are_passed_on():
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    sampler = FromDiffusers(scheduler, 10, options={"eta": 1.0})
    x, g = torch.ones(1, 1, 4, 4), torch.Generator()
    a, b = (sampler.sample(Wavy("epsilon"), x, generator=g.manual_seed(i)) for i in (1, 2))
    assert not torch.equal(a, b)
    flow = diffusers.FlowMatchEulerDiscreteScheduler()
    timed = FromDiffusers(flow, None, timing={"sigmas": [1.0, 0.5, 0.25]})
    assert [float(x.sigma) for x in timed.levels] == [1.0, 0.5, 0.25, 0.0]


def test_the_callers_scheduler_is_left_alone():
    scheduler = diffusers.PNDMScheduler()
    scheduler.set_timesteps(4)
    before = scheduler.timesteps.clone()
    FromDiffusers(scheduler, 10).sample(Wavy("epsilon"), torch.ones(1, 1, 4, 4))
    assert torch.equal(scheduler.timesteps, before) and not scheduler.ets


@pytest.mark.parametrize(
    "scheduler",
    [
        diffusers.DDIMInverseScheduler(),  # walks away from the data
        diffusers.UnCLIPScheduler(),  # wants the next timestep as well
        diffusers.CMStochasticIterativeScheduler(),  # of no known family
        diffusers.ScoreSdeVeScheduler(),
        diffusers.DDPMScheduler(variance_type="learned_range"),
        diffusers.DDPMScheduler(variance_type="fixed_large_log"),  # NaN: it is used as its log
        object(),
    ],
    ids=lambda s: type(s).__name__,
)
def test_what_is_not_understood_is_refused(scheduler: Any):
    with pytest.raises(ScheduleError):
        FromDiffusers(scheduler, 10)


@pytest.mark.parametrize("steps", [8, 50])
def test_noise_that_a_scheduler_adds_is_not_taken_for_going_astray(steps: int):
    FromDiffusers(diffusers.DDPMScheduler(variance_type="fixed_large"), steps)
    FromDiffusers(diffusers.EulerDiscreteScheduler(), steps, options={"s_churn": 5.0})


def test_it_is_rehearsed_with_its_own_number_of_steps():
    """Beyond half of the training times this one divides by zero, but not with fewer steps."""
    scheduler = diffusers.DPMSolverMultistepScheduler(num_train_timesteps=40)
    FromDiffusers(scheduler, 10)
    with pytest.raises(ScheduleError, match="nan off after step .* of 40"):
        FromDiffusers(scheduler, 40)


def test_timesteps_that_a_scheduler_refuses_are_explained():
    with pytest.raises(ScheduleError, match="TCDScheduler"):
        FromDiffusers(diffusers.TCDScheduler(), 100)


def test_a_scheduler_that_breaks_its_sample_is_stopped():
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    sampler = FromDiffusers(scheduler, 10)
    huge = torch.full((1, 1, 2, 2), 3e38)
    with pytest.raises(ComposeError, match="not finite at step 1 of 10"):
        sampler.sample(Wavy("epsilon"), huge)
