"""The model alone: prompt and negative, and nothing of the layers."""

import pytest
import torch

from compose_benchmarks.plain import PlainMethod
from compose_core.backbones import load_model
from compose_core.compose import Composer
from compose_core.denoiser import Bound, Guided
from compose_core.scene import build


@pytest.fixture(scope="module")
def model(toy):
    return load_model(toy)


def plan(model, guidance=3.0, **changes):
    layers = [{"name": "ball", "prompt": "a red sphere", "box": [0.1, 0.3, 0.5, 0.9]}]
    usual = {"version": 1, "canvas": [64, 64], "prompt": "toys", "layers": layers}
    dice = [torch.Generator().manual_seed(0)]
    return PlainMethod().plan(
        build(usual | changes), model, device="cpu", generator=dice, guidance=guidance, steps=2
    )


def test_it_is_the_guided_prompt(model):
    denoiser = plan(model, negative="blurry").denoiser
    sides = [Bound(model.network, model.text.encode(text)) for text in ("toys", "blurry")]
    x_t = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(1))
    level = model.schedule.levels(2)[0]
    assert torch.equal(denoiser(x_t, level).x0, Guided(*sides, 3.0)(x_t, level).x0)
    assert not any(isinstance(part, Composer) for part in denoiser.modules())


def test_without_guidance_the_negative_is_neither_asked_nor_remarked_upon(model):
    endless = "a" * 90 + " the end"
    assert isinstance(plan(model, guidance=1.0, negative=endless).denoiser, Bound)
    assert plan(model, guidance=1.0, negative=endless).warnings == ()


def test_a_cut_text_is_told_once(model):
    endless = "a" * 90 + " the end"
    (line,) = plan(model, prompt=endless, negative=endless).warnings
    assert "too long" in line and "the end" in line
