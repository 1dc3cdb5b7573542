"""Canvases that cannot be made are refused before a model is loaded."""

import json

import pytest

from compose_core.errors import ComposeError, SceneError, WeightsError
from compose_core.run import limits


@pytest.mark.parametrize(
    ("canvas", "nearest"), [((63, 64), "[64, 64]"), ((66, 1), "[64, 8]"), ((200, 68), "[200, 64]")]
)
def test_the_nearest_canvas_is_offered(canvas, nearest):
    with pytest.raises(SceneError, match="does not fit") as caught:
        limits.check_factor(canvas, 8)
    assert nearest in caught.value.remedy


def test_multiples_pass():
    limits.check_factor((256, 64), 4)


def test_a_canvas_larger_than_the_memory_is_refused_with_an_estimate():
    with pytest.raises(SceneError, match="too large") as caught:
        limits.check_memory((8000, 8000), 128, 8 * 2**30)
    assert "GiB" in caught.value.got
    limits.check_memory((8000, 8000), 128, None)
    limits.check_memory((512, 512), 128, 8 * 2**30)


def test_the_offered_scale_fits():
    with pytest.raises(SceneError) as caught:
        limits.check_memory((4000, 4000), 128, 2**30)
    scale = float(caught.value.remedy.split(" by ")[1].split()[0])
    side = int(4000 * scale * 0.99)
    limits.check_memory((side, side), 128, 2**30)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"block_out_channels": ["x"]}'])
def test_a_folder_without_an_autoencoder_is_refused(tmp_path, text):
    (tmp_path / "vae").mkdir()
    if text is not None:
        (tmp_path / "vae" / "config.json").write_text(text)
    with pytest.raises(WeightsError, match="model folder"):
        limits.read_blocks(tmp_path)


def test_blocks_of_both_autoencoders(tmp_path):
    (tmp_path / "vae").mkdir()
    for key in ("block_out_channels", "encoder_block_out_channels"):
        (tmp_path / "vae" / "config.json").write_text(json.dumps({key: [8, 16, 16]}))
        assert limits.read_blocks(tmp_path) == [8, 16, 16]


def test_memory_of_this_machine_is_found_and_a_container_bounds_it(tmp_path, monkeypatch):
    assert limits.available_bytes("cpu") > 0
    (tmp_path / "max").write_text("1000\n")
    monkeypatch.setattr(limits, "_CGROUP", tmp_path / "max")
    assert limits.available_bytes("cpu") == 1000


def test_an_unknown_device_is_refused():
    with pytest.raises(ComposeError, match="no such device") as caught:
        limits.check_device("cuda:99")
    assert "cpu" in caught.value.expected
    assert limits.check_device("cpu") == "cpu"
