"""Predictions: every language says the same, and every schedule hears the same x0."""

import pytest
import torch

from compose_core.errors import ScheduleError, ShapeError
from compose_core.prediction import Prediction, rescale, translate
from compose_core.schedule import DiscreteVP, KarrasVE, Level, Rectified, Schedule
from compose_core.testing.devices import require

VP = DiscreteVP.from_config(
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
)
SCHEDULES: list[Schedule] = [VP, KarrasVE(), Rectified()]
LEVELS = [level for schedule in SCHEDULES for level in schedule.levels(7)[1:-1]]
LANGUAGES = ["eps", "velocity", "flow", "x0"]


def known(level: Level) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A noisy sample and what it was made of."""
    g = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 3, 4, 5, 5, generator=g, dtype=torch.float64)
    alpha, sigma = level.to_like(x0)
    return alpha * x0 + sigma * eps, x0, eps


def assert_equal(a: torch.Tensor, b: torch.Tensor):
    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("level", LEVELS)
def test_views_are_their_definitions(level: Level):
    x_t, x0, eps = known(level)
    said = Prediction.from_x0(x_t, level, x0)
    alpha, sigma = level.to_like(x_t)
    assert_equal(said.eps, eps)
    assert_equal(said.score * sigma, -eps)
    assert_equal(said.flow, eps - x0)
    assert_equal(said.velocity * torch.hypot(alpha, sigma), alpha * eps - sigma * x0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_conversions_are_exact(level: Level, language: str):
    x_t, x0, _ = known(level)
    word = getattr(Prediction.from_x0(x_t, level, x0), language)
    back = getattr(Prediction, f"from_{language}")(x_t, level, word)
    assert_equal(back.x0, x0)
    assert_equal(getattr(back, language), word)


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_level_per_sample_is_each_sample_alone(language: str):
    level = VP.level(torch.tensor([10.0, 500.5, 900.0]))
    x_t, x0, _ = known(level)
    word = getattr(Prediction.from_x0(x_t, level, x0), language)
    for i, t in enumerate(level.t):
        alone = Prediction.from_x0(x_t[i : i + 1], VP.level(t), x0[i : i + 1])
        assert_equal(getattr(alone, language), word[i : i + 1])


@pytest.mark.parametrize("here", SCHEDULES)
@pytest.mark.parametrize("there", SCHEDULES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_another_schedule_gives_the_same_x0(here: Schedule, there: Schedule, language: str):
    """A network of one schedule, asked from another, is asked about the very same picture."""
    for level in here.levels(6)[1:-1]:
        x_t, x0, eps = known(level)
        asked, matched = translate(x_t, level, there)
        alpha, sigma = matched.to_like(asked)
        assert_equal(asked, alpha * x0 + sigma * eps)
        word = getattr(Prediction.from_x0(asked, matched, x0), language)
        answer = getattr(Prediction, f"from_{language}")(asked, matched, word)
        assert_equal(answer.x0, x0)
        heard = answer.at(x_t, level)
        assert heard.level is level and heard.x_t is x_t
        assert_equal(heard.eps, eps)
        assert_equal(heard.velocity, answer.velocity)  # x0, eps, v and flow know no schedule
        assert_equal(heard.flow, answer.flow)


def test_translation_to_the_same_schedule_touches_nothing():
    x_t = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    for level in (VP.level(981), VP.level(torch.tensor([3.0, 400.0]))):
        same, matched = translate(x_t, level, VP)
        assert same is x_t and matched.same(level)


def test_rescaling_works_at_both_ends():
    x = torch.full((1, 2), 3.0, dtype=torch.float64)
    pure = Level.of(0.0, 2.0, 1.0)
    assert_equal(rescale(x, pure, Rectified().match(pure)), x / 2)
    clean = Level.of(0.5, 0.0, 0.0)
    assert_equal(rescale(x, clean, KarrasVE().match(clean)), x * 2)


def test_pure_noise_has_no_answer_in_eps_but_in_v_and_flow():
    pure = Rectified().level(1.0)
    x_t, x0, _ = known(pure)
    said = Prediction.from_x0(x_t, pure, x0)
    assert_equal(Prediction.from_velocity(x_t, pure, said.velocity).x0, x0)
    assert_equal(Prediction.from_flow(x_t, pure, said.flow).x0, x0)
    with pytest.raises(ScheduleError, match="pure noise"):
        Prediction.from_eps(x_t, pure, said.eps)


@pytest.mark.parametrize("language", ["eps", "score", "velocity", "flow"])
def test_a_clean_level_has_only_x0(language: str):
    x = torch.zeros(1, 2)
    with pytest.raises(ScheduleError, match="clean"):
        getattr(Prediction(x, Level.of(1.0, 0.0, 0.0), x), language)


def test_the_answer_must_fit_the_question():
    with pytest.raises(ShapeError):
        Prediction(torch.zeros(2, 3), VP.level(5), torch.zeros(1, 3))


def test_replacing_the_answer_keeps_the_question():
    x_t, x0, _ = known(VP.level(5))
    said = Prediction(x_t, VP.level(5), x0)
    other = said.replace_x0(x_t)
    assert other.x_t is x_t and other.level is said.level and other.x0 is x_t


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_dtype_and_device_stay(name: str, dtype: torch.dtype):
    device = require(name)
    for level in (VP.level(500), VP.level(torch.tensor([500.0, 501.0]))):
        x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).to(device, dtype)
        asked, matched = translate(x, level, KarrasVE())
        said = Prediction.from_eps(asked, matched, asked)
        for value in (asked, said.x0, said.eps, said.velocity, said.flow, said.score):
            assert value.dtype == dtype and value.device.type == device.type
