"""The examples as the embedded models draw them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compose_core import zoo
from compose_core.run import load_record, run_scene
from compose_core.scene import load_scene

EXAMPLES = Path(__file__).parents[3] / "examples"

pytestmark = [
    pytest.mark.weights,
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples belong to the repository"),
    pytest.mark.skipif("sd-tiny" not in zoo.known(), reason="sd-tiny is not in the zoo"),
]


def drawn(name, folder, steps):
    scene = load_scene(EXAMPLES / f"{name}.toml")
    (path,) = run_scene(
        scene, method="cgi", steps=steps, device="cpu", out=folder, name=name, trace=True
    )
    return scene, path


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"), np.float64) / 255


def red(picture):
    """Where red is well above both others, (H, W)."""
    return picture[..., 0] - picture[..., 1:].max(-1) > 0.2


def test_the_background_is_kept_where_the_object_is_not(tmp_path):
    scene, path = drawn("background-and-object", tmp_path, 30)
    picture, meadow = pixels(path), pixels(path.with_suffix(".meadow.png"))
    outside = scene.regions(scene.height, scene.width)["ball"] == 0
    outside[:, :4] = outside[:, -4:] = True
    assert np.abs(picture - meadow)[outside].mean() < 0.05
    assert red(picture)[~outside].mean() > 0.15
    assert not red(meadow).any()
    alpha = np.asarray(Image.open(path.with_suffix(".ball.png")))[..., 3]
    assert alpha[32, 32] == 255
    assert alpha[0, 0] == 0


def test_a_ring_of_four_objects_has_no_seam(tmp_path):
    _, path = drawn("panorama", tmp_path, 20)
    picture = pixels(path)[:14]  # above all objects, one of which lies across the ends
    across = np.abs(picture[:, 0] - picture[:, -1]).mean()
    within = np.abs(np.diff(picture, axis=1)).mean(axis=(0, 2))
    assert across < 3 * np.median(within) + 0.02


def test_a_figure_has_its_head_where_its_keypoints_are(tmp_path):
    _, path = drawn("figure-and-face", tmp_path, 20)
    found = red(pixels(path))
    assert found[13:30, 24:40].mean() > 0.5
    assert found[32:].sum() < 0.2 * found.sum()
    assert load_record(path).adapters
