"""The scene format: what is read, and one clear message for everything that is not."""

import json

import pytest

from compose_core.errors import SceneError
from compose_core.scene import Layer, Scene, build, load_scene, parse_scene, schema

GOOD = """
version = 1
canvas = [64, 48]
prompt = "toys on grass"
negative = "blur"
seed = 7

[camera]
height = 1.2
pitch = 10.0
fov = 50.0

[[layers]]
name = "ball"
prompt = "a red sphere"
box = [0.08, 0.35, 0.50, 0.90]
z = 1.0
weight = 1.0

[[layers]]
name = "solid"
proxy = { shape = "sphere", position = [-0.6, 0.5, 4], size = 0.5, rotation = 0.0, color = "red" }
"""


def minimal(**changes):
    layer = {"name": "a", "prompt": "a red sphere"}
    return {"version": 1, "canvas": [64, 64], "prompt": "toys", "layers": [layer], **changes}


def with_layer(**changes):
    return minimal(layers=[{"name": "a", "prompt": "a red sphere", **changes}])


def test_the_documented_scene_is_read():
    scene = parse_scene(GOOD, "toml", ".")
    assert scene.canvas == (scene.width, scene.height) == (64, 48)
    assert scene.layers[0].box == (0.08, 0.35, 0.50, 0.90)
    assert scene.layers[1].proxy.position == (-0.6, 0.5, 4.0)
    assert scene.camera.pitch == 10.0
    assert not scene.wrap


def test_toml_and_json_give_the_same_scene(tmp_path):
    scene = parse_scene(GOOD, "toml", tmp_path)
    text = json.dumps(scene.model_dump(mode="json", exclude_unset=True))
    (tmp_path / "scene.json").write_text(text)
    assert load_scene(tmp_path / "scene.json") == scene


def test_a_scene_is_frozen():
    scene = build(minimal())
    with pytest.raises(ValueError, match="frozen"):
        scene.seed = 3


def test_layers_are_ordered_by_z_then_by_the_file():
    layers = [Layer(name=n, prompt="x", z=z) for n, z in [("a", 1.0), ("b", 0.0), ("c", 1.0)]]
    scene = Scene(canvas=(8, 8), prompt="x", layers=layers)
    assert [layer.name for layer in scene.ordered] == ["b", "a", "c"]


BAD = {
    "no layers": (minimal(layers=[]), "no layers"),
    "layers missing": ({"version": 1, "canvas": [8, 8], "prompt": "x"}, "no layers"),
    "same name": (minimal(layers=[{"name": "a", "prompt": "x"}] * 2), "the same name"),
    "box outside": (with_layer(box=[0.1, 0.2, 1.5, 0.9]), "leaves the canvas"),
    "box negative": (with_layer(box=[-0.1, 0.2, 0.5, 0.9]), "leaves the canvas"),
    "box inverted": (with_layer(box=[0.5, 0.2, 0.1, 0.9]), "empty or inverted"),
    "box empty": (with_layer(box=[0.5, 0.2, 0.5, 0.9]), "empty or inverted"),
    "box of three": (with_layer(box=[0.1, 0.2, 0.5]), "`box` of layer 'a'"),
    "box of words": (with_layer(box=["0", 0, 1, 1]), "`box` of layer 'a'"),
    "nan": (with_layer(z=float("nan")), "`z` of layer 'a'"),
    "infinity": (with_layer(weight=float("inf")), "`weight` of layer 'a'"),
    "empty prompt": (minimal(prompt=""), "prompt of the scene is empty"),
    "blank prompt": (with_layer(prompt=" \n"), "prompt of layer 'a' is empty"),
    "very long prompt": (minimal(prompt="a" * 10_001), "`prompt` of the scene"),
    "prompt missing": ({k: v for k, v in minimal().items() if k != "prompt"}, "no `prompt`"),
    "canvas of zero": (minimal(canvas=[0, 64]), "`canvas` of the scene"),
    "canvas of fractions": (minimal(canvas=[64.0, 64]), "`canvas` of the scene"),
    "canvas of one": (minimal(canvas=[64]), "`canvas` of the scene"),
    "canvas absurd": (minimal(canvas=[100_000, 100_000]), "canvas is too large"),
    "version": (minimal(version=2), "`version` of the scene"),
    "no version": ({k: v for k, v in minimal().items() if k != "version"}, "no `version`"),
    "seed negative": (minimal(seed=-1), "`seed` of the scene"),
    "seed huge": (minimal(seed=2**64), "`seed` of the scene"),
    "seed is true": (minimal(seed=True), "`seed` of the scene"),
    "name missing": (minimal(layers=[{"prompt": "x"}]), "layer 1 has no `name`"),
    "layer of words": (minimal(layers=["ball"]), "layer 1"),
    "layers no list": (minimal(layers={"name": "a"}), "`layers` of the scene"),
    "nothing asked": (minimal(layers=[{"name": "a", "z": 1.0}]), "asks for nothing"),
    "too many layers": (
        minimal(layers=[{"name": str(i), "prompt": "x"} for i in range(65)]),
        "too many layers",
    ),
    "proxy": (with_layer(proxy={"shape": "sphere"}), "the proxy of layer 'a' has no `position`"),
    "camera": (minimal(camera={"fov": 0}), "`fov` of the camera"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_clear_message(name):
    data, message = BAD[name]
    with pytest.raises(SceneError) as caught:
        build(data)
    text = str(caught.value)
    assert message in text
    assert "expected:" in text
    assert "pydantic" not in text and len(text.splitlines()) <= 4


@pytest.mark.parametrize(
    ("data", "wrong", "nearest"),
    [
        (minimal(promt="x"), "promt", "prompt"),
        (with_layer(wieght=1.0), "wieght", "weight"),
        (with_layer(Box=[0, 0, 1, 1]), "Box", "box"),
        (minimal(camera={"pitsch": 3.0}), "pitsch", "pitch"),
        (with_layer(proxy={"shap": "cube", "position": [0, 0, 1]}), "shap", "shape"),
        (with_layer(proxy={"colour": "red", "position": [0, 0, 1]}), "colour", "color"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(data, wrong, nearest):
    with pytest.raises(SceneError, match="unknown key") as caught:
        build(data)
    assert wrong in str(caught.value.got)
    assert f"`{nearest}`" in caught.value.remedy


def test_a_key_of_another_table_is_sent_there():
    with pytest.raises(SceneError, match="unknown key") as caught:
        build(minimal(fov=50.0))
    assert "move it into `camera`" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("version = ", "toml"),
        ("{", "json"),
        ('{"seed": 1, "seed": 2}', "json"),
        ('{"seed": NaN}', "json"),
        ("[" * 100_000, "json"),
        ("a = " + "[" * 100_000, "toml"),
        ("a = " + "9" * 10_000, "toml"),
        (b"\xff\xfe\x00", "toml"),
        ("[1, 2]", "json"),
        (" " * (5 * 2**20), "toml"),
    ],
)
def test_text_that_is_no_scene_is_refused(text, fmt):
    with pytest.raises(SceneError):
        parse_scene(text, fmt, ".")


def test_a_byte_order_mark_is_taken():
    assert parse_scene(b"\xef\xbb\xbf" + GOOD.encode(), "toml", ".").seed == 7


def test_missing_file_and_unknown_kind(tmp_path):
    with pytest.raises(SceneError, match="does not exist"):
        load_scene(tmp_path / "scene.toml")
    (tmp_path / "scene.txt").write_text(GOOD)
    with pytest.raises(SceneError, match="unknown kind"):
        load_scene(tmp_path / "scene.txt")


def test_the_schema_names_every_key_and_refuses_others():
    found = schema()
    assert set(found["properties"]) == set(Scene.model_fields)
    assert found["additionalProperties"] is False
    assert found["required"] == ["version", "prompt"]
    assert found["oneOf"] == [{"required": ["canvas", "layers"]}, {"required": ["duration"]}]
    assert found["$defs"]["Layer"]["additionalProperties"] is False
    assert "fractions" in found["$defs"]["Layer"]["properties"]["box"]["description"]
    json.dumps(found)


@pytest.mark.parametrize("power", [10, 400, 4000, 5000])
def test_a_side_beyond_all_numbers_is_one_message(power: int) -> None:
    """Integers that no float can hold are refused like any other wrong side."""
    with pytest.raises(SceneError, match="canvas") as caught:
        build(minimal(canvas=[64, 10**power]))
    assert len(str(caught.value)) < 500
