"""Files of a scene: where they may lie, and that what is read is what is kept."""

import numpy as np
import pytest
from PIL import Image

from compose_core.conditions import Depth, Exemplar, Keypoints, Mask, Position, Segments, Text
from compose_core.errors import SceneError
from compose_core.scene import Assets, Layer, Scene, load_scene
from compose_core.scene.assets import locate

SCENE = """version = 1
canvas = [8, 4]
prompt = "toys"
[[layers]]
name = "ball"
prompt = "a red sphere"
"""


def write_scene(folder, line=""):
    path = folder / "scene.toml"
    path.write_text(f"{SCENE}{line}\n")
    return path


def write_ramp(path, dtype=np.uint8):
    values = np.linspace(1, np.iinfo(dtype).max, 32).reshape(4, 8).astype(dtype)
    Image.fromarray(values).save(path)


def test_every_kind_of_file_becomes_its_condition(tmp_path):
    write_ramp(tmp_path / "mask.png")
    write_ramp(tmp_path / "depth.png", np.uint16)
    write_ramp(tmp_path / "seg.png")
    Image.new("RGB", (3, 3), "red").save(tmp_path / "lava.png")
    (tmp_path / "pose.json").write_text('{"head": [0.5, 0.2], "left hand": null}')
    lines = (
        'mask = "mask.png"\ndepth = "depth.png"\nsegments = "seg.png"\n'
        'exemplar = "lava.png"\nkeypoints = "pose.json"'
    )
    scene = load_scene(write_scene(tmp_path, lines))
    kinds = {type(condition) for condition in scene.conditions()["ball"]}
    assert kinds == {Position, Text, Mask, Depth, Segments, Exemplar, Keypoints}
    assert set(scene.assets) == set(scene.files)
    assert scene.assets["lava.png"] == (tmp_path / "lava.png").read_bytes()


def test_a_scene_does_not_change_when_its_files_do(tmp_path):
    write_ramp(tmp_path / "mask.png")
    scene = load_scene(write_scene(tmp_path, 'mask = "mask.png"'))
    before = scene.regions(4, 8)["ball"]
    (tmp_path / "mask.png").unlink()
    assert np.array_equal(scene.regions(4, 8)["ball"], before)


@pytest.mark.parametrize(
    "name",
    ["../mask.png", "a/../../mask.png", "/etc/hostname", "..", "link.png", "folder/mask.png"],
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, name):
    home = tmp_path / "home"
    home.mkdir()
    write_ramp(tmp_path / "mask.png")
    (home / "link.png").symlink_to(tmp_path / "mask.png")
    (home / "folder").symlink_to(tmp_path)
    with pytest.raises(SceneError, match="leaves the folder") as caught:
        load_scene(write_scene(home, f'mask = "{name}"'))
    assert "--allow-outside" in caught.value.remedy


def test_outside_is_read_when_allowed(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    write_ramp(tmp_path / "mask.png")
    path = write_scene(home, 'mask = "../mask.png"')
    assert load_scene(path, allow_outside=True).files == ("../mask.png",)


def test_a_link_inside_the_folder_is_followed(tmp_path):
    write_ramp(tmp_path / "mask.png")
    (tmp_path / "link.png").symlink_to("mask.png")
    assert load_scene(write_scene(tmp_path, 'mask = "link.png"')).files == ("link.png",)


@pytest.mark.parametrize("name", ["\0", "a\0b", "x" * 900, "loop"])
def test_names_that_are_no_paths(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SceneError):
        Assets.read([name], tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SceneError, match="'lost.png'.*does not exist"):
        load_scene(write_scene(tmp_path, 'mask = "lost.png"'))


@pytest.mark.parametrize(
    "key",
    ["mask", "depth", "exemplar", "segments", "keypoints", "normals", "curvature", "edges"],
)
def test_a_file_of_the_wrong_kind_names_layer_and_key(tmp_path, key):
    (tmp_path / "x.png").write_bytes(b"\x80\x04\x95not a picture")
    with pytest.raises(SceneError) as caught:
        load_scene(write_scene(tmp_path, f'{key} = "x.png"'))
    assert f"the {key} 'x.png' of layer 'ball'" in caught.value.what


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"a": 1}', '{"a": [1]}', '{"a": [1, true]}', '{"a": [1e999, 0]}', "{"]
)
def test_bad_keypoints_are_refused(tmp_path, text):
    (tmp_path / "pose.json").write_text(text)
    with pytest.raises(SceneError, match="keypoints"):
        load_scene(write_scene(tmp_path, 'keypoints = "pose.json"'))


def test_a_scene_without_its_files_says_so():
    layer = Layer(name="a", mask="mask.png")
    scene = Scene(canvas=(8, 4), prompt="toys", layers=[layer])
    with pytest.raises(SceneError, match="has not been read"):
        scene.conditions()


def test_embedding_and_back():
    assets = Assets({"a.png": b"\0\1", "b": b""})
    assert Assets.decoded(assets.encoded()) == assets
    with pytest.raises(SceneError, match="damaged"):
        Assets.decoded({"a": "no base64!"})


def test_files_that_are_too_large_together_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("compose_core.scene.assets.MAX_TOTAL", 3)
    (tmp_path / "a").write_bytes(b"12")
    (tmp_path / "b").write_bytes(b"12")
    with pytest.raises(SceneError, match="too large together"):
        Assets.read(["a", "b"], tmp_path)


def test_a_folder_that_is_a_link_is_home(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"1")
    (tmp_path / "alias").symlink_to("real")
    assert locate("a", tmp_path / "alias") == tmp_path.resolve() / "real" / "a"
