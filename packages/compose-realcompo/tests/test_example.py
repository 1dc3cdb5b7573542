"""The example scene as the embedded models draw it: what was asked for, where it was asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from compose_core import zoo
from compose_core.pipeline import ComposePipeline
from compose_core.run import load_record, run_scene
from compose_core.run.execute import locate_model
from compose_core.scene import load_scene
from compose_realcompo.method import LAYOUT, RealCompoMethod

SCENE = Path(__file__).parents[3] / "examples" / "two-toys.toml"

pytestmark = [
    pytest.mark.weights,
    pytest.mark.slow,
    pytest.mark.skipif(not SCENE.exists(), reason="the examples belong to the repository"),
    pytest.mark.skipif(LAYOUT not in zoo.known(), reason=f"{LAYOUT} is not in the zoo"),
]


def coloured(picture, channel):
    """Where a channel is well above both others, (H, W)."""
    others = np.delete(picture, channel, -1).max(-1)
    return picture[..., channel] - others > 0.2


def test_each_toy_is_in_its_box_and_nowhere_else():
    pipe = ComposePipeline.from_pretrained(zoo.resolve("sd-tiny"))
    pipe.set_progress_bar_config(disable=True)
    scene = load_scene(SCENE)
    out = pipe(
        scene,
        method=RealCompoMethod(),
        generator=[torch.Generator().manual_seed(scene.seed)],
        num_inference_steps=20,
        output_type="np",
        trace=True,
        warn=pytest.fail,
    )
    picture = out.images[0]
    regions = scene.regions(scene.height, scene.width)
    for name, channel in (("sphere", 0), ("cube", 2)):
        lower = slice(scene.height // 4, None)  # the sky is blue as well
        found = coloured(picture, channel)[lower]
        inside = regions[name][lower] > 0.5
        assert found[inside].mean() > 0.4
        assert (found & inside).sum() > 0.7 * found.sum()
    (shares,) = [n for n in out.trace.names if n.endswith("text.share")]
    moved = out.trace.stack(shares)
    assert moved[0].max() == 0  # the layout model begins alone
    assert moved[-1].std() > 0.1


def test_the_picture_remembers_the_layout_model(tmp_path):
    (path,) = run_scene(load_scene(SCENE), method="realcompo", steps=2, device="cpu", out=tmp_path)
    assert load_record(path).adapters == {LAYOUT: locate_model(LAYOUT)[1]}
