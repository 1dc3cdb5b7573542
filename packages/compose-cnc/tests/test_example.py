"""The example scene as the embedded adapter draws it: who is in front, and who looks like what."""

from pathlib import Path

import numpy as np
import pytest
import torch

from compose_cnc.method import ADAPTER, CnCMethod
from compose_core import zoo
from compose_core.pipeline import ComposePipeline
from compose_core.run import load_record, run_scene
from compose_core.run.execute import locate_model
from compose_core.scene import load_scene

SCENE = Path(__file__).parents[3] / "examples" / "lava-and-snow.toml"

pytestmark = [
    pytest.mark.weights,
    pytest.mark.slow,
    pytest.mark.skipif(not SCENE.exists(), reason="the examples belong to the repository"),
    pytest.mark.skipif(ADAPTER not in zoo.known(), reason=f"{ADAPTER} is not in the zoo"),
]


@pytest.fixture(scope="module")
def pipe():
    made = ComposePipeline.from_pretrained(zoo.resolve("sd-tiny"))
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def draw(pipe):
    def make(scene):
        found = pipe(
            scene,
            method=CnCMethod(),
            generator=[torch.Generator().manual_seed(scene.seed)],
            output_type="np",
            warn=pytest.fail,
        )
        return found.images[0]

    return make


def redness(picture, region):
    """The median over a region of red less the brighter of the other two."""
    red, green, blue = np.moveaxis(picture, -1, 0)
    return float(np.median((red - np.maximum(green, blue))[region > 0.5]))


@pytest.fixture(scope="module")
def places():
    """The ball, what of it lies before the block, and the part of the block that it leaves."""
    scene = load_scene(SCENE)
    ball = scene.regions(scene.height, scene.width)["lava"]
    block = np.zeros_like(ball)
    block[18:44, 26:50] = 1  # by the edges of `block-depth.png`
    beside = block.copy()
    beside[34:] = beside[:, :40] = 0
    return ball, ball * block, beside * (1 - ball)


def test_the_ball_is_red_in_front_of_a_block_that_is_not(draw, places):
    picture = draw(load_scene(SCENE))
    ball, before, block = places
    assert redness(picture, ball) > 0.3 and redness(picture, before) > 0.3
    assert abs(redness(picture, block)) < 0.1 and picture[block > 0.5].mean() > 0.5


def test_the_picture_remembers_the_adapter(tmp_path):
    (path,) = run_scene(load_scene(SCENE), method="cnc", steps=1, device="cpu", out=tmp_path)
    assert load_record(path).adapters == {ADAPTER: locate_model(ADAPTER)[1]}


def test_without_exemplars_nothing_makes_it_red(draw, places):
    scene = load_scene(SCENE)
    bare = tuple(layer.model_copy(update={"exemplar": None}) for layer in scene.layers)
    picture = draw(scene.model_copy(update={"layers": bare}))
    assert redness(picture, places[0]) < 0.2
