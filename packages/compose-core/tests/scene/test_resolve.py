"""From layers to conditions: regions, order in depth, proxies."""

import numpy as np
import pytest

from compose_core.conditions import Box, Depth, LabelMap, Mask, Text
from compose_core.errors import SceneError
from compose_core.scene import Assets, Layer, Proxy, Scene, visible
from compose_core.scene import resolve as resolve_module


def scene(*layers):
    return Scene(canvas=(8, 8), prompt="x", layers=layers)


def test_a_layer_without_a_region_covers_the_canvas():
    assert (scene(Layer(name="a", prompt="y")).regions(4, 4)["a"] == 1).all()


def test_regions_come_from_back_to_front():
    layers = [Layer(name="near", prompt="y", z=2.0), Layer(name="far", prompt="y", z=-1.0)]
    assert list(scene(*layers).regions(4, 4)) == ["far", "near"]


def test_nearer_layers_cover_farther_ones():
    regions = {"far": np.full((2, 2), 0.8), "mid": np.full((2, 2), 0.5), "near": np.eye(2)}
    seen = visible(regions)
    assert list(seen) == ["far", "mid", "near"]
    assert np.array_equal(seen["near"], np.eye(2))
    assert np.allclose(seen["far"], 0.8 * 0.5 * (1 - np.eye(2)))


def test_what_is_seen_is_a_partition_with_the_rest():
    rng = np.random.default_rng(0)
    regions = {str(i): rng.random((3, 3)) for i in range(5)}
    rest = np.prod([1 - m for m in regions.values()], axis=0)
    assert np.allclose(sum(visible(regions).values()) + rest, 1)


def silhouette(columns):
    values = np.zeros((8, 8), np.float32)
    values[2:6, columns] = 1
    return values


def fake_resolver(camera, proxies, width, height):
    assert (width, height) == (8, 8)
    found = []
    for i, proxy in enumerate(proxies):
        mask = silhouette(slice(i, i + 3)) * (proxy.shape != "nothing")
        labels = {"mask": mask, "depth": mask * (i + 1), "curvature": np.zeros((8, 8, 2))}
        found.append(labels)
    return found


@pytest.fixture
def with_proxies(monkeypatch):
    monkeypatch.setattr(resolve_module, "_resolver", lambda: fake_resolver)


def proxy(shape="cube"):
    return Proxy(shape=shape, position=(0, 0.5, 4))


@pytest.mark.usefixtures("with_proxies")
def test_proxies_become_conditions_on_one_scale_of_depth():
    found = scene(Layer(name="a", proxy=proxy()), Layer(name="b", proxy=proxy())).conditions()
    a, b = ({type(c): c for c in found[name]} for name in "ab")
    assert a[Depth].values.max() == 0.5 and b[Depth].values.max() == 1
    assert a[Box] == Box(0, 0.25, 0.375, 0.75)
    assert a[LabelMap].task == "curvature"
    assert np.array_equal(a[Mask].values, silhouette(slice(0, 3)))


@pytest.mark.usefixtures("with_proxies")
def test_what_a_layer_names_itself_replaces_what_is_rendered():
    found = scene(Layer(name="a", proxy=proxy(), box=(0, 0, 1, 1))).conditions()["a"]
    assert [c for c in found if isinstance(c, Box)] == [Box(0, 0, 1, 1)]


@pytest.mark.usefixtures("with_proxies")
def test_a_proxy_out_of_sight_is_refused():
    with pytest.raises(SceneError, match="proxy of layer 'b' is outside"):
        scene(Layer(name="a", proxy=proxy()), Layer(name="b", proxy=proxy("nothing"))).conditions()


def test_without_a_renderer_the_package_is_named(monkeypatch):
    monkeypatch.setattr(resolve_module, "entry_points", lambda group: [])
    with pytest.raises(SceneError, match="nothing here can render") as caught:
        scene(Layer(name="a", proxy=proxy())).conditions()
    assert "compose-worlds" in caught.value.remedy


@pytest.mark.usefixtures("with_proxies")
def test_when_all_proxies_are_out_of_sight_that_is_what_is_said():
    with pytest.raises(SceneError, match="proxy of layer 'a' is outside"):
        scene(Layer(name="a", proxy=proxy("nothing"))).conditions()


def test_a_depth_without_order_is_zero_everywhere(monkeypatch):
    def flat(camera, proxies, width, height):
        return [{"mask": np.ones((8, 8)), "depth": np.full((8, 8), 0.25)} for _ in proxies]

    monkeypatch.setattr(resolve_module, "_resolver", lambda: flat)
    (found,) = [
        c for c in scene(Layer(name="a", proxy=proxy())).conditions()["a"] if isinstance(c, Depth)
    ]
    assert not found.values.any()


def test_a_layer_inherits_the_negative_of_the_scene_unless_it_has_one():
    layers = [Layer(name=str(i), prompt="y", negative=n) for i, n in enumerate((None, "", "z"))]
    made = Scene(canvas=(8, 8), prompt="x", negative="blur", layers=layers)
    found = [
        c.negative for made in made.conditions().values() for c in made if isinstance(c, Text)
    ]
    assert found == ["blur", "", "z"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": [0, 0], "a": [1, 1]}', "twice"),
        (b'{"a": null}', "holds no points"),
        (b'{"a": [NaN, 0]}', "not JSON"),
        (b"[1]", "holds no points"),
    ],
)
def test_keypoints_are_read_as_strictly_as_a_scene(data, message):
    made = scene(Layer(name="a", keypoints="k.json"))
    with pytest.raises(SceneError, match=message):
        made.with_assets(Assets({"k.json": data}))
    made.with_assets(Assets({"k.json": b'\xef\xbb\xbf{"a": [0, 0], "b": null}'}))
