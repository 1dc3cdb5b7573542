"""Every scene file of the repository is read, and shows what it says it shows."""

from pathlib import Path

import pytest

from compose_core.scene import check, load_scene
from compose_core.scene.load import schema

EXAMPLES = Path(__file__).parents[4] / "examples"
SCENES = sorted(EXAMPLES.glob("*.toml"))

pytestmark = pytest.mark.skipif(not SCENES, reason="the examples belong to the repository")


@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.stem)
def test_an_example_is_read(path):
    scene = load_scene(path)
    known = {"prompt", "box", "mask", "z", "wrap", "depth", "exemplar", "keypoints", "weight"}
    known |= {"duration", "point", "map"}
    assert check(scene, known, (), "any") == []
    assert scene.duration or all(side % 4 == 0 for side in scene.canvas)
    assert set(scene.model_fields_set) <= set(schema()["properties"])


def test_the_panorama_is_closed():
    scene = load_scene(EXAMPLES / "panorama.toml")
    assert scene.wrap and scene.width == 4 * scene.height


def test_the_order_in_depth_is_not_that_of_the_file():
    scene = load_scene(EXAMPLES / "behind.toml")
    assert [layer.name for layer in scene.ordered] == ["block", "ball"]
    assert [layer.name for layer in scene.layers] == ["ball", "block"]


def test_the_proxies_have_a_camera():
    scene = load_scene(EXAMPLES / "proxies.toml")
    assert scene.camera is not None and all(layer.proxy for layer in scene.layers)
