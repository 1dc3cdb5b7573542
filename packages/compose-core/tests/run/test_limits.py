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


SIZES = limits.Sizes(factor=8, decoder=128, unet=320, latent=4, trained=(64, 64))


def check(canvas, available, layers=3, max_batch=64):
    limits.check_memory(canvas, layers, SIZES, max_batch, available)


def test_a_canvas_larger_than_the_memory_is_refused_with_an_estimate():
    with pytest.raises(SceneError, match="too large") as caught:
        check((8000, 8000), 4 * 2**30)
    assert "GiB" in caught.value.got
    check((8000, 8000), None)
    check((512, 512), 8 * 2**30)


def test_the_offered_scale_fits():
    with pytest.raises(SceneError, match="decode") as caught:
        check((2048, 2048), 2**30, max_batch=1)
    scale = float(caught.value.remedy.split(" by ")[1].split()[0])
    side = int(2048 * scale * 0.99) // 8 * 8
    check((side, side), 2**30, max_batch=1)


def test_the_walk_is_bounded_by_the_largest_batch_and_offers_one_that_fits():
    with pytest.raises(SceneError, match="64 questions") as caught:
        check((2048, 1024), 8 * 2**30)
    rows = int(caught.value.remedy.split("--max-batch ")[1].split(",")[0])
    check((2048, 1024), 8 * 2**30, max_batch=rows)
    with pytest.raises(SceneError):
        check((2048, 1024), 8 * 2**30, max_batch=2 * rows)


def test_a_single_window_asks_no_more_than_its_layers():
    assert limits.walk_bytes((512, 512), 1, SIZES, 64) == limits.walk_bytes(
        (512, 512), 1, SIZES, 4
    )


def test_in_tiles_memory_hardly_grows_with_the_canvas():
    whole = limits.decode_bytes((2048, 2048), SIZES)
    assert limits.decode_bytes((2056, 2048), SIZES) < whole / 3
    assert limits.decode_bytes((4096, 4096), SIZES) < whole / 2


UNET = {"block_out_channels": [16, 32], "in_channels": 4, "sample_size": [16, 8]}
VAE = {"block_out_channels": [8, 16, 16]}


def write(folder, **parts):
    for name, text in parts.items():
        (folder / name).mkdir(exist_ok=True)
        if text is not None:
            (folder / name / "config.json").write_text(text)
    return folder


@pytest.mark.parametrize("part", ["vae", "unet"])
@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"block_out_channels": ["x"]}'])
def test_a_folder_without_its_parts_is_refused(tmp_path, part, text):
    write(tmp_path, **{"vae": json.dumps(VAE), "unet": json.dumps(UNET)})
    (tmp_path / part / "config.json").unlink()
    write(tmp_path, **{part: text})
    with pytest.raises(WeightsError, match="model folder"):
        limits.read_sizes(tmp_path)


@pytest.mark.parametrize("key", ["block_out_channels", "encoder_block_out_channels"])
def test_sizes_of_both_autoencoders(tmp_path, key):
    write(tmp_path, vae=json.dumps({key: [8, 16, 16]}), unet=json.dumps(UNET))
    assert limits.read_sizes(tmp_path) == limits.Sizes(
        factor=4, decoder=8, unet=16, latent=4, trained=(16, 8)
    )
    assert limits.tile((256, 256), tmp_path) == 32 and limits.tile((128, 256), tmp_path) is None


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
