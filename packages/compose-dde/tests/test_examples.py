"""The examples as the embedded models make them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from compose_core import zoo
from compose_core.run import run_scene
from compose_core.scene import load_scene
from compose_dde.pipeline import MapsPipeline

EXAMPLES = Path(__file__).parents[3] / "examples"


def needs(model):
    there = model in zoo.known() and zoo.find(model).pinned
    return pytest.mark.skipif(not there, reason=f"{model} is not in the zoo")


pytestmark = [
    pytest.mark.weights,
    pytest.mark.slow,
    pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples belong to the repository"),
]


def made(name, folder, **options):
    scene = load_scene(EXAMPLES / f"{name}.toml")
    (path,) = run_scene(scene, method="dde", device="cpu", out=folder, name=name, **options)
    return scene, path


def pixels(path):
    with Image.open(path) as picture:
        values = np.asarray(picture.convert("RGB"), np.float32) / 255
    return torch.from_numpy(values).movedim(2, 0)


def flatness(sound):
    """Geometric over arithmetic mean of the power: 0.56 for white noise, 0 for tones."""
    power = np.abs(np.fft.rfft(sound.reshape(-1, 1024) * np.hanning(1024))) ** 2 + 1e-12
    return float(np.median(np.exp(np.log(power).mean(1)) / power.mean(1)))


@needs("dde-music-tiny")
def test_two_minutes_of_four_stems_that_sound(tmp_path):
    scene, path = made("two-minutes", tmp_path, steps=12)
    mix, rate = soundfile.read(path)
    assert len(mix) == scene.duration * rate
    stems = {
        name: soundfile.read(path.with_suffix(f".{name}.flac"))[0]
        for name in ("bass", "drums", "guitar", "piano")
    }
    np.testing.assert_allclose(np.clip(sum(stems.values()), -1, 1), mix, atol=1e-4)
    whole = len(mix) // 1024 * 1024
    assert 0.01 < np.sqrt((mix**2).mean()) < 0.5
    # Notes, not noise; drums are noise and are left out.
    assert all(flatness(stems[name][:whole]) < 0.1 for name in ("bass", "guitar", "piano"))


@needs("dde-positions-tiny")
def test_an_object_stands_at_each_of_three_points(tmp_path):
    worlds = pytest.importorskip("compose_worlds.positions")
    scene, path = made("three-places", tmp_path)
    asked = torch.tensor([layer.point for layer in scene.layers])
    found = worlds.find(pixels(path))
    assert len(found) >= 3
    assert float(torch.cdist(asked, found).amin(1).max()) < 0.06


@needs("dde-maps-tiny")
def test_a_picture_is_true_to_its_map_and_of_one_season(tmp_path):
    pytest.importorskip("compose_worlds.terrain")
    from compose_worlds.terrain import read
    from compose_worlds.terrain.picture import FLAT, palette

    scene, path = made("coast", tmp_path)
    picture, chart = pixels(path), pixels(EXAMPLES / "coast-map.png")
    assert picture.shape == chart.shape == (3, scene.height, scene.width)
    classes = (chart.movedim(0, 2)[:, :, None] - palette(FLAT)).square().sum(-1).argmin(2)
    other = read(picture, classes.flip(1)).fidelity
    assert read(picture, classes).fidelity > max(0.4, 1.5 * other)
    # Parts that do not overlap do not see each other: they agree because of the coordinator.
    assert seasons(picture, classes) == {"winter"}
    pipe = MapsPipeline.from_pretrained("dde-maps-tiny", coordinator="none")
    dice = torch.Generator().manual_seed(scene.seed)
    plain = (pipe(chart * 2 - 1, generator=[dice])[0].clamp(-1, 1) + 1) / 2
    assert len(seasons(plain, classes)) > 1


def seasons(picture, classes, side=32):
    """Of parts as large as those of the model."""
    from compose_worlds.terrain import read

    parts = [
        (slice(y, y + side), slice(x, x + side))
        for y in range(0, classes.shape[0], side)
        for x in range(0, classes.shape[1], side)
    ]
    return {
        read(picture[:, rows, columns], classes[rows, columns]).season for rows, columns in parts
    }
