"""Rules over the branches of RealCompo: each against its formula."""

import math

import pytest
import torch

from compose_benchmarks.baselines.balanced import (
    GligenMethod,
    LayoutGuidanceMethod,
    PerBoxMethod,
    SaliencyBlendMethod,
    StaticBlendMethod,
)
from compose_benchmarks.baselines.blends import SaliencyBlend, saliency
from compose_core.backbones import load_model
from compose_core.errors import UsageError
from compose_core.pipeline import ComposePipeline
from compose_core.prediction import Prediction
from compose_core.sampler import DDIM
from compose_core.scene import build
from compose_core.testing import laws
from compose_core.testing.folders import tiny_stable_diffusion
from compose_core.testing.models import stable_diffusion_schedule
from compose_realcompo.testing import branches, tiny_gated

LEVELS = stable_diffusion_schedule().levels(6)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("blends")
    base = tiny_stable_diffusion(home / "base", seed=1)
    return base, tiny_gated(home / "gated", base)


@pytest.fixture(scope="module")
def models(folders, tmp_path_factory):
    other = tiny_stable_diffusion(tmp_path_factory.mktemp("other") / "m", seed=0)
    return [load_model(folders[0]), load_model(other)]


@pytest.fixture
def x_t():
    return torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(3))


def test_saliency_against_loops():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 5, 4, generator=generator, dtype=torch.float64)
    level = LEVELS[2]
    cond, uncond = (
        Prediction(x, level, torch.randn(x.shape, generator=generator, dtype=torch.float64))
        for _ in range(2)
    )
    found = saliency(cond, uncond, 10.0, 0.5)
    weights = [math.exp(-0.5 * (d / 0.5) ** 2) for d in (-1, 0, 1)]
    weights = [w / sum(weights) for w in weights]
    scores = torch.zeros(5, 4, dtype=torch.float64)
    for y in range(5):
        for z in range(4):
            for i, a in enumerate(weights):
                for j, b in enumerate(weights):
                    v, w = min(max(y + i - 1, 0), 4), min(max(z + j - 1, 0), 3)
                    moved = (cond.eps - uncond.eps)[0, :, v, w].abs().mean()
                    scores[y, z] += 10 * a * b * moved
    expected = (scores.exp() / scores.exp().sum())[None, None]
    torch.testing.assert_close(found, expected)


def test_each_pixel_is_that_of_the_most_salient(models, x_t):
    made = branches(models, scale=3.0)
    blend = SaliencyBlend(made)
    found = blend(x_t, LEVELS[2]).x0
    each = [branch.denoiser(x_t, LEVELS[2]).x0 for branch in made]
    from_first, from_second = (torch.isclose(found, x0, atol=1e-5).all(1) for x0 in each)
    assert bool((from_first | from_second).all())
    assert from_first.any() and from_second.any()
    laws.check_denoiser(blend, x_t, LEVELS[2])


def test_saliency_needs_guidance_and_may_begin_with_one(models, x_t):
    with pytest.raises(UsageError, match="what guidance moves"):
        SaliencyBlend(branches(models))
    made = branches(models, scale=3.0)
    walk = DDIM(LEVELS)
    alone = walk.sample(made[1].denoiser, x_t)
    assert torch.equal(walk.sample(SaliencyBlend(made, start=1.0), x_t), alone)


def scene():
    layers = [
        {"name": "cube", "prompt": "a cube", "box": (0.1, 0.2, 0.45, 0.9)},
        {"name": "cone", "prompt": "a cone", "box": (0.55, 0.2, 0.9, 0.9)},
    ]
    given = {"version": 1, "canvas": (64, 64), "prompt": "a cube, a cone", "layers": layers}
    return build(given)


def test_all_four_draw_and_differ(folders):
    base, gated = folders
    pipe = ComposePipeline.from_pretrained(base)
    pipe.set_progress_bar_config(disable=True)
    kinds = (GligenMethod, StaticBlendMethod, SaliencyBlendMethod, LayoutGuidanceMethod)
    pictures = []
    for kind in kinds:
        out = pipe(
            scene(),
            method=kind(layout=gated, start=0.0),
            num_inference_steps=4,
            output_type="pt",
            generator=torch.Generator().manual_seed(0),
        )
        pictures.append(out.images)
    for i, picture in enumerate(pictures):
        assert torch.isfinite(picture).all()
        assert all(not torch.equal(picture, other) for other in pictures[:i])


def test_objects_are_drawn_in_their_boxes_and_then_together(folders):
    """After the change of rule one prediction is asked for, with all words in its prompt."""
    pipe = ComposePipeline.from_pretrained(folders[0])
    given = {"device": "cpu", "generator": torch.Generator(), "guidance": 1.0, "steps": 4}
    plan = PerBoxMethod(until=0.5).plan(scene(), pipe.model, **given)
    x_t = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    moments = list(DDIM(LEVELS).steps(plan.denoiser, x_t, generator=torch.Generator()))
    assert [moment.state.now for moment in moments] == [0, 0, 0, 1, 1, 1]
    last = moments[-1]
    whole = pipe.model.text.encode("a cube, a cone")
    asked = pipe.model.network(moments[-2].x_t, last.step.now, whole).x0
    torch.testing.assert_close(last.prediction.x0, asked)
    with pytest.raises(UsageError, match="share of the steps"):
        PerBoxMethod(until=1.0)
