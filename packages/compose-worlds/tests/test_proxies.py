"""Proxies of scene files: labels of each solid alone, by the camera of the scene."""

import numpy as np
import pytest
import torch

from compose_core.conditions import Box, Depth, Edges, LabelMap, Mask, Normals, Segments
from compose_core.errors import SceneError
from compose_core.scene import Camera, Layer, Proxy
from compose_core.scene import Scene as SceneFile
from compose_core.scene import resolve as core_resolve
from compose_worlds import proxies
from compose_worlds.primitives import camera as pinhole
from compose_worlds.primitives.figure import JOINTS
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import CLASSES, stack

LEVEL = Camera(height=0.5, pitch=0.0)
NAMES = {"mask", "depth", "normals", "curvature", "edges", "segments"}


def proxy(shape="sphere", x=0.0, z=4.0, **other):
    size = other.setdefault("size", 0.5)
    return Proxy(shape=shape, position=(x, size, z), **other)


@pytest.mark.parametrize("size", [(64, 64), (96, 40), (31, 63)])
def test_shapes_and_ranges(size):
    for found in proxies.resolve(Camera(), [proxy(s) for s in SHAPES], *size):
        assert set(found) == NAMES
        assert all(values.shape[:2] == size[::-1] for values in found.values())
        assert set(np.unique(found["mask"])) == {0.0, 1.0}
        assert set(np.unique(found["edges"])) <= {0.0, 1.0}
        assert np.isfinite(found["depth"]).all()
        assert np.allclose(np.linalg.norm(found["normals"], axis=-1), 1, atol=1e-5)


def test_depth_of_a_ball():
    (found,) = proxies.resolve(LEVEL, [proxy()], 65, 65)
    assert found["depth"][32, 32] == pytest.approx(1 / 3.5)
    assert found["normals"][32, 32] == pytest.approx([0, 0, 1], abs=1e-6)
    assert found["curvature"][32, 32] == pytest.approx([2, 2], rel=1e-5)
    assert found["segments"][32, 32] == CLASSES.index("sphere")
    assert found["depth"][0, 0] == 0  # the sky


@pytest.mark.parametrize("shape", [*SHAPES, "figure"])
def test_size_is_half_the_height(shape):
    """With its centre at the camera's height a proxy of half height s fills s / z tan(fov / 2)."""
    camera = Camera(height=0.5, pitch=0.0, fov=20.0)
    (found,) = proxies.resolve(
        camera, [Proxy(shape=shape, position=(0, 0.5, 40), size=0.5)], 9, 801
    )
    rows = np.flatnonzero(found["mask"].any(1))
    half = 801 / 2 * 0.5 / 40 / np.tan(np.radians(10))
    assert rows[0] == pytest.approx(400 - half, abs=2)
    assert rows[-1] == pytest.approx(400 + half, abs=2)


def test_hidden_parts_are_rendered():
    front, back = proxy("cube", z=3.0), proxy("sphere", x=0.2, z=5.0)
    together = proxies.resolve(Camera(), [front, back], 64, 48)
    (alone,) = proxies.resolve(Camera(), [back], 64, 48)
    for name in NAMES:
        assert np.array_equal(together[1][name], alone[name])
    assert (together[0]["mask"] * together[1]["mask"]).any()


def test_the_nearest_of_the_layers_is_the_whole_scene():
    camera = Camera(height=1.4, pitch=14.0, fov=44.0)
    parts = [proxy("cube", z=3.4, rotation=30.0), proxy("cone", x=0.4, z=4.5), proxy("figure", -1)]
    found = proxies.resolve(camera, parts, 80, 48)
    seen = labels(stack([proxies.scene(camera, parts)]), (80, 48))
    together = np.max([f["depth"] for f in found], axis=0)
    assert np.allclose(together, seen.inverse_depth[0, 0].numpy(), rtol=1e-5)
    for number, labelled in enumerate(found):
        assert np.array_equal(labelled["mask"] > 0, seen.amodal[0, number].numpy())


def test_the_field_of_view_is_vertical():
    parts = [proxy("cube", rotation=20.0)]
    square, wide, narrow = (proxies.resolve(Camera(), parts, w, 45)[0] for w in (45, 91, 17))
    for name in ("mask", "depth", "normals", "segments"):
        column = square[name][:, 22]
        assert wide[name][:, 45] == pytest.approx(column, abs=1e-5)
        assert narrow[name][:, 8] == pytest.approx(column, abs=1e-5)


def test_the_camera_is_the_scenes():
    low, high = (
        proxies.resolve(Camera(height=h, pitch=10.0), [proxy()], 48, 48)[0] for h in (0.8, 1.6)
    )

    def middle(mask):
        return np.nonzero(mask)[0].mean()

    assert middle(high["mask"]) > middle(low["mask"])  # from higher up it is lower down
    zoomed = proxies.resolve(Camera(fov=30.0), [proxy()], 48, 48)[0]
    assert zoomed["mask"].sum() > 2 * low["mask"].sum()


def test_a_figure_brings_keypoints():
    part = proxy("waving figure", size=0.7)
    (found,) = proxies.resolve(Camera(), [part], 96, 64)
    heat = found["keypoints"]
    assert heat.shape == (64, 96, len(JOINTS))
    assert (found["segments"][found["mask"] > 0] == CLASSES.index("figure")).all()
    world = stack([proxies.scene(Camera(), [part])])
    figure = proxies._figure(part)
    at, _ = pinhole.project(world, torch.tensor([list(figure.joints().values())]), 96 / 64)
    for joint, (x, y) in enumerate(at[0].tolist()):
        row, column = np.unravel_index(heat[..., joint].argmax(), heat.shape[:2])
        assert (column + 0.5) / 96 == pytest.approx(x, abs=0.5 / 96 + 1e-6)
        assert (row + 0.5) / 64 == pytest.approx(y, abs=0.5 / 64 + 1e-6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (proxy("spere"), "sphere"),
        (proxy("wavin figure"), "waving figure"),
        (proxy(color="rde"), "red"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(bad, message):
    with pytest.raises(SceneError, match=message):
        proxies.resolve(Camera(), [bad], 16, 16)


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(core_resolve, "_resolver", lambda: proxies.resolve)


def layers(*parts):
    named = tuple(Layer(name=f"layer {i}", proxy=p) for i, p in enumerate(parts))
    return SceneFile(canvas=(64, 48), prompt="toys on grass", layers=named)


@pytest.mark.usefixtures("installed")
def test_a_scene_file_gets_conditions_from_proxies():
    found = layers(proxy("cube", x=-0.6), proxy("figure", x=0.5, size=0.6)).conditions()
    kinds = {type(c) for c in found["layer 0"]}
    assert {Mask, Box, Depth, Normals, Edges, Segments} <= kinds
    depths = [c.values for cs in found.values() for c in cs if isinstance(c, Depth)]
    assert max(d.max() for d in depths) == 1
    tasks = {c.task for c in found["layer 1"] if isinstance(c, LabelMap)}
    assert tasks == {"curvature", "keypoints"}


@pytest.mark.usefixtures("installed")
def test_a_proxy_under_the_ground_is_refused():
    with pytest.raises(SceneError, match="outside the picture"):
        layers(Proxy(shape="cube", position=(0, -2, 4))).conditions()
