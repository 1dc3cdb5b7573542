"""The published checkpoints: whole, loadable, and as good as their manifests say."""

import pytest

from compose_core import zoo
from compose_core.backbones import Model, load_model
from compose_core.pipeline import ComposePipeline
from compose_tlam.model import Painter
from compose_worlds.judge import JudgeNet
from compose_worlds.primitives import cache
from compose_zoo.recipes import (
    guide_measure,
    measure,
    painters,
    painters_measure,
    scores,
    towers,
    tuned_measure,
)
from compose_zoo.recipes.painters import PLANS

pytestmark = pytest.mark.weights

MODELS = (
    "sd-tiny",
    "sd-tiny-crayon",
    "sd-tiny-second",
    "judge-tiny",
    "clip-tiny",
    "controlnet-tiny-depth",
    "controlnet-tiny-keypoints",
    "controlnet-tiny-segments",
    "cnc-tiny",
    "t2i-adapter-tiny",
    "gligen-tiny",
    "ears-tiny",
    "dde-positions-tiny",
    "dde-music-tiny",
    "dde-maps-tiny",
    *PLANS,
)
"""Those that are shipped."""


@pytest.fixture(scope="module")
def judge() -> JudgeNet:
    return JudgeNet.load(zoo.resolve("judge-tiny"))


@pytest.mark.parametrize("model", MODELS)
def test_every_file_is_pinned_and_as_published(model: str) -> None:
    manifest = zoo.find(model)
    assert manifest.pinned
    assert {finding.status for finding in zoo.verify(model)} == {"ok"}
    assert manifest.budget is not None and manifest.training is not None
    assert manifest.scores


def test_every_manifest_is_known() -> None:
    """What is not shipped says so: its files are unpinned, and nothing pretends to be here."""
    for model in zoo.known():
        manifest = zoo.find(model)
        assert (model in MODELS) == manifest.pinned
        assert manifest.recipe or model not in MODELS


def test_the_base_is_small() -> None:
    assert zoo.find("sd-tiny").size <= 15_000_000


def _score(model: str, name: str) -> float:
    return next(s.value for s in zoo.find(model).scores if s.name == name)


@pytest.mark.slow
def test_one_object_comes_out_as_asked(judge) -> None:
    """48 held-out captions; the bar is four standard errors below the published share."""
    pipe = ComposePipeline.from_pretrained("sd-tiny")
    claims = scores.captions("one", 48)
    pictures = measure.draw(pipe, [c.text for c in claims], seed=cache.HELD_OUT)
    share = scores.summary(scores.judge(judge, pictures, claims), claims)["all"]
    published = _score("sd-tiny", "one object: colour and shape")
    spread = (published * (1 - published) / 48) ** 0.5
    assert share.value >= published - 4 * max(spread, 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("model", tuned_measure.VARIANTS)
def test_variants_draw_what_is_asked_for_in_their_style(model, judge, tmp_path) -> None:
    """32 held-out captions; bars are four standard errors below the published shares."""
    clip = towers.load(zoo.resolve("clip-tiny"))
    found = tuned_measure.measured(load_model(zoo.resolve(model)), judge, clip, tmp_path, 32)
    there = _score(model, "objects there")
    spread = (there * (1 - there) / found["there"].n) ** 0.5
    assert found["there"].value >= there - 4 * max(spread, 0.03)
    assert found["drawings in crayon"].value > 0.8 > 0.5 > found["renders in crayon"].value
    style = found["in crayon"].value
    assert style > 0.9 if model == "sd-tiny-crayon" else style < 0.5


@pytest.mark.slow
def test_the_judge_reads_renders(judge, tmp_path) -> None:
    found = scores.judge_on_renders(judge, tmp_path, 64)
    published = _score("judge-tiny", "object: colour and shape on renders")
    assert found["object"].value >= published - 0.05
    assert found["pixels"].value > 0.95


def test_the_depth_guide_loads_beside_the_base() -> None:
    model = load_model(zoo.resolve("sd-tiny"), controlnet=zoo.resolve("controlnet-tiny-depth"))
    encoded = model.text.encode("a red sphere on grass")
    assert encoded["text"].shape[-1] == 128
    assert type(model.network).__name__ == "ControlledUNet"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["controlnet-tiny-keypoints", "controlnet-tiny-segments"])
def test_objects_are_where_they_were_drawn(model, judge, tmp_path) -> None:
    """16 held-out scenes; the bar is four standard errors below the published share."""
    seen = guide_measure.followed(model, base_beside(model), judge, tmp_path, 16)
    share = seen["guided: IoU > 0.5"]
    published = _score(model, "objects with IoU > 0.5 to where they were drawn")
    spread = (published * (1 - published) / share.n) ** 0.5
    assert share.value >= published - 4 * spread
    assert share.value > seen["free: IoU > 0.5"].value + 0.2


def base_beside(model: str) -> Model:
    return load_model(zoo.resolve("sd-tiny"), controlnet=zoo.resolve(model))


def test_the_towers_prefer_the_right_caption(tmp_path) -> None:
    """Among 64 held-out captions the right one is found nearly as often as published."""
    found = measure.clip_tiny(zoo.resolve("clip-tiny"), tmp_path, 64)
    for name, share in found.items():
        published = _score("clip-tiny", f"{name}, one of 64")
        spread = (published * (1 - published) / 64) ** 0.5
        assert share.value >= published - 4 * spread, name


@pytest.mark.slow
@pytest.mark.parametrize("model", PLANS)
def test_the_judge_reads_what_labels_said(model, judge, tmp_path) -> None:
    """32 held-out scenes; pictures of few pixels differ, so the bar is a tenth below."""
    samples = painters.Rendered(tmp_path, range(cache.HELD_OUT, cache.HELD_OUT + 32))
    sparsity = PLANS[model].game.sparsity
    found = painters_measure.read_back(Painter.load(zoo.resolve(model)), judge, samples, sparsity)
    assert found["pixels of the right class"] >= _score(model, "pixels of the right class") - 0.1
