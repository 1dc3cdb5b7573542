"""What holds for every sampler: evaluations, state, randomness, precision, broken predictions."""

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from compose_core.denoiser import Denoiser, Gaussian, Step
from compose_core.errors import ComposeError
from compose_core.prediction import Prediction
from compose_core.sampler import DDIM, Euler, FromDiffusers, Heun, Sampler
from compose_core.schedule import DiscreteVP, KarrasVE, Level, Rectified
from compose_core.testing.devices import require

STEPS = 9
VP = DiscreteVP.from_config({"beta_schedule": "squaredcos_cap_v2"})
SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "ddim": lambda: DDIM(VP.levels(STEPS)),
    "ancestral": lambda: DDIM(VP.levels(STEPS), eta=1.0),
    "euler": lambda: Euler(KarrasVE().levels(STEPS)),
    "heun": lambda: Heun(VP.levels(STEPS)),
    "churn": lambda: Heun(KarrasVE().levels(STEPS), churn=3.0),
    "flow": lambda: Heun(Rectified().levels(STEPS), along="flow"),
    "diffusers": lambda: FromDiffusers(diffusers.DPMSolverMultistepScheduler(), STEPS),
    "diffusers ancestral": lambda: FromDiffusers(
        diffusers.EulerAncestralDiscreteScheduler(), STEPS
    ),
}
every_sampler = pytest.mark.parametrize("sampler", [f() for f in SAMPLERS.values()], ids=SAMPLERS)


class Watched(Denoiser):
    """The Gaussian oracle; its state counts steps, and it notes every call."""

    def __init__(self, fail_at: int | None = None, value: float = float("nan")) -> None:
        super().__init__()
        self.oracle, self.calls, self.fail_at, self.value = Gaussian(0.2, 0.5), [], fail_at, value

    def init(self, x_t: Tensor, generator: Any = None) -> int:
        self.calls.append(("init", x_t.dtype))
        return 0

    def adapt(self, state: int, x_t: Tensor, step: Step) -> int:
        assert not torch.is_grad_enabled()
        self.calls.append(("adapt", step.index))
        return state + 1

    def queries(self, x_t: Tensor, level: Level, state: int) -> Any:
        self.calls.append(("ask", state))
        return ()

    def combine(self, answers: Any, x_t: Tensor, level: Level, state: int) -> Prediction:
        said = self.oracle(x_t, level)
        if self.fail_at is not None and state > self.fail_at:
            said = said.replace_x0(torch.full_like(said.x0, self.value))
        return said


def start(sampler: Sampler, batch: int = 2, **options: Any) -> Tensor:
    return sampler.initial((batch, 3, 4), torch.Generator().manual_seed(0), **options)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("name", "evaluations"),
    [("ddim", STEPS), ("ancestral", STEPS), ("euler", STEPS), ("diffusers", STEPS)]
    + [(name, 2 * STEPS - 1) for name in ("heun", "churn", "flow")],
)
def test_number_of_evaluations(name: str, evaluations: int):
    sampler, denoiser = SAMPLERS[name](), Watched()
    sampler.sample(denoiser, start(sampler), generator=seeded())
    assert sum(kind == "ask" for kind, _ in denoiser.calls) == evaluations


def test_heun_corrects_the_last_step_too_when_it_ends_in_noise():
    sampler, denoiser = Heun(KarrasVE().levels(STEPS)[:-1]), Watched()
    sampler.sample(denoiser, start(sampler))
    assert sum(kind == "ask" for kind, _ in denoiser.calls) == 2 * (STEPS - 1)


@every_sampler
def test_state_is_made_once_and_moved_once_per_step(sampler: Sampler):
    denoiser = Watched()
    moments = list(sampler.steps(denoiser, start(sampler), generator=seeded()))
    assert [kind for kind, _ in denoiser.calls].count("init") == 1
    assert [i for kind, i in denoiser.calls if kind == "adapt"] == list(range(STEPS))
    asked = [state for kind, state in denoiser.calls if kind == "ask"]
    assert asked == sorted(asked) and set(asked) == set(range(1, STEPS + 1))
    assert [m.state for m in moments] == list(range(1, STEPS + 1))


@every_sampler
def test_moments_tell_the_way(sampler: Sampler):
    moments = list(sampler.steps(Watched(), start(sampler), generator=seeded()))
    assert [m.step.index for m in moments] == list(range(STEPS))
    for moment, now, after in zip(moments, sampler.levels, sampler.levels[1:], strict=False):
        assert moment.step.now.same(now) and moment.step.next.same(after)
        assert moment.step.total == STEPS and moment.x_t.shape == (2, 3, 4)
    last = sampler.sample(Watched(), start(sampler), generator=seeded())
    assert torch.equal(moments[-1].x_t, last)


@every_sampler
def test_same_seed_same_bytes_and_runs_do_not_meet(sampler: Sampler):
    """Two runs of one sampler, step for step in turn, are each a run alone."""
    alone = sampler.sample(Watched(), start(sampler), generator=seeded())
    pair = [sampler.steps(Watched(), start(sampler), generator=seeded()) for _ in "ab"]
    for a, b in zip(*pair, strict=True):
        assert torch.equal(a.x_t, b.x_t)
    assert torch.equal(a.x_t, alone)  # pyright: ignore[reportPossiblyUnbound]


@every_sampler
def test_one_generator_per_sample_forgets_the_batch(sampler: Sampler):
    x = start(sampler, batch=3)
    together = sampler.sample(Watched(), x, generator=[seeded(i) for i in range(3)])
    for i in range(3):
        alone = sampler.sample(Watched(), x[i : i + 1], generator=[seeded(i)])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-5, atol=1e-5)


@every_sampler
def test_hidden_randomness_is_not_touched(sampler: Sampler):
    before = torch.random.get_rng_state()
    sampler.sample(Watched(), start(sampler), generator=seeded())
    assert torch.equal(torch.random.get_rng_state(), before)


@every_sampler
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_prediction_names_its_step(sampler: Sampler, value: float):
    moments = sampler.steps(Watched(fail_at=3, value=value), start(sampler), generator=seeded())
    for _ in range(3):
        next(moments)
    with pytest.raises(ComposeError, match=f"prediction is not finite at step 4 of {STEPS}"):
        next(moments)


@every_sampler
def test_half_precision_is_widened(sampler: Sampler):
    denoiser = Watched()
    x = sampler.sample(denoiser, start(sampler, dtype=torch.float16), generator=seeded())
    assert x.dtype == torch.float32 and denoiser.calls[0] == ("init", torch.float32)


@every_sampler
def test_gradients_are_off_inside_and_as_they_were_outside(sampler: Sampler):
    x = start(sampler).requires_grad_()
    for moment in sampler.steps(Watched(), x, generator=seeded()):
        assert torch.is_grad_enabled() and not moment.x_t.requires_grad


@every_sampler
def test_the_evaluator_is_handed_on(sampler: Sampler):
    seen: list[Any] = []

    def evaluator(questions: Any) -> Any:
        seen.append(questions)
        return questions

    for moment in sampler.steps(
        Watched(), start(sampler), generator=seeded(), evaluator=evaluator
    ):
        assert moment.step.evaluator is evaluator
    assert len(seen) >= STEPS


def test_the_first_noise_has_the_scale_of_the_first_level():
    g = seeded()
    wide = Euler(KarrasVE().levels(3)).initial((20_000,), g)
    assert float(wide.std()) == pytest.approx(80, rel=0.02)
    for schedule in (VP, Rectified(), DiscreteVP.from_config({"beta_schedule": "linear"})):
        unit = Euler(schedule.levels(3)).initial((20_000,), seeded())
        assert torch.equal(unit, torch.randn(20_000, generator=seeded()))


@pytest.mark.cuda
@every_sampler
def test_a_gpu_gives_the_same(sampler: Sampler):
    device = require("cuda")
    x = start(sampler)
    here = sampler.sample(Watched(), x, generator=seeded())
    there = sampler.sample(Watched(), x.to(device), generator=seeded())
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-4)
