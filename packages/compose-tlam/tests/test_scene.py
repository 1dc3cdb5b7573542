"""Scenes as labels: the nearest surface is seen with all its labels, files are pasted."""

import numpy as np
import pytest
import torch

from compose_core.errors import SceneError
from compose_core.scene import Assets, build
from compose_tlam.labels import PRIMITIVES, primitives
from compose_tlam.scene import from_scene


def test_one_proxy_gives_all_five_labels(scene):
    stack, remarks = from_scene(scene((0.0, 2.0)), PRIMITIVES)
    assert remarks == () and set(stack.layers) == set(PRIMITIVES.names)
    classes = stack.layers["semantics"].value[0]
    assert set(classes.unique().tolist()) == {0, 1, 4}
    sky = classes == 0
    for name in ("normals", "curvature"):
        assert torch.equal(stack.layers[name].valid[0], ~sky)
    depth = stack.layers["depth"].value[0, 0]
    assert float(depth.max()) == 1 and float(depth[sky].max()) == 0
    assert float(stack.layers["edges"].value.max()) > 0.02


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_the_nearest_is_seen_whatever_the_order(scene, order):
    boards = [(-0.1, 2.0), (0.1, 4.0)][::order]
    stack, _ = from_scene(scene(*boards), PRIMITIVES)
    depth = stack.layers["depth"].value[0, 0]
    # Columns: near board 2-9, far one 5-12 behind it.
    assert torch.equal(depth[6, 3:9], torch.ones(6))
    assert torch.allclose(depth[6, 11], torch.tensor(0.5))
    assert int((stack.layers["semantics"].value[0, 6] == 4).sum()) == 11


def test_the_ground_hides_nothing_that_stands_on_it(scene):
    both, _ = from_scene(scene((-0.3, 2.0), (0.3, 2.0)), PRIMITIVES)
    assert int((both.layers["semantics"].value == 4).sum()) >= 2 * 8 * 6


def files(name, values, mode=None):
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return {name: stream.getvalue()}


def flat(layers, assets):
    document = {"version": 1, "canvas": [8, 8], "prompt": "x", "layers": layers}
    return build(document).with_assets(Assets(assets))


def test_files_are_pasted_inside_their_region_and_the_rest_is_missing():
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    layer = {"name": "a", "depth": "d.png", "box": [0.0, 0.0, 0.5, 1.0]}
    stack, remarks = from_scene(flat([layer], files("d.png", values)), PRIMITIVES)
    assert remarks == ()
    valid = stack.layers["depth"].valid[0]
    assert bool(valid[:, :4].all()) and not bool(valid[:, 4:].any())
    ids = np.full((8, 8), 3, np.uint8)
    layers = [layer, {"name": "b", "segments": "s.png"}]
    both = {**files("d.png", values), **files("s.png", ids)}
    stack, _ = from_scene(flat(layers, both), PRIMITIVES)
    assert bool(stack.layers["semantics"].valid.all())
    assert torch.equal(stack.layers["depth"].valid[0], valid)


def test_class_numbers_of_files_are_checked_by_layer():
    ids = np.full((8, 8), 200, np.uint8)
    layer = {"name": "odd one", "segments": "s.png"}
    with pytest.raises(SceneError, match="layer 'odd one'") as caught:
        from_scene(flat([layer], files("s.png", ids)), PRIMITIVES)
    assert "200" in str(caught.value)


def test_a_scene_without_labels_is_said(scene):
    document = {"version": 1, "canvas": [8, 8], "prompt": "x"}
    stack, remarks = from_scene(
        build({**document, "layers": [{"name": "a", "prompt": "a ball"}]}), PRIMITIVES
    )
    assert stack.empty and "gives no label" in remarks[0]


def test_proxies_of_unknown_classes_are_refused(scene):
    with pytest.raises(SceneError, match="the proxy of layer 'board 0'"):
        from_scene(scene((0.0, 2.0)), primitives(("sky", "ground", "wall")))


def test_a_smaller_registry_takes_what_it_knows(scene):
    stack, _ = from_scene(scene((0.0, 2.0)), PRIMITIVES.only("semantics"))
    assert set(stack.layers) == {"semantics"}


def test_all_five_labels_come_from_files():
    signs = np.full((8, 8, 3), 128, np.uint8)
    signs[..., 2] = 255
    signs[0, 0] = 128
    assets = {
        **files("s.png", np.full((8, 8), 1, np.uint8)),
        **files("d.png", np.arange(64, dtype=np.uint8).reshape(8, 8)),
        **files("n.png", signs),
        **files("c.png", np.full((8, 8, 3), (255, 128, 0), np.uint8)),
        **files("e.png", np.full((8, 8), 51, np.uint8)),
    }
    names = {"segments": "s", "depth": "d", "normals": "n", "curvature": "c", "edges": "e"}
    layer = {"name": "all", **{key: f"{name}.png" for key, name in names.items()}}
    stack, remarks = from_scene(flat([layer], assets), PRIMITIVES)
    assert remarks == () and set(stack.layers) == set(PRIMITIVES.names)
    normals = stack.layers["normals"]
    assert not bool(normals.valid[0, 0, 0]) and int(normals.valid.sum()) == 63
    assert torch.equal(normals.value[0, :, 3, 3], torch.tensor([0.0, 0.0, 1.0]))
    assert torch.equal(stack.layers["curvature"].value[0, :, 3, 3], torch.tensor([8.0, 0.0]))
    assert float(stack.layers["edges"].value[0, 0, 3, 3]) == pytest.approx(0.2)


def test_bad_normals_of_files_are_named():
    layer = {"name": "a", "normals": "n.png"}
    with pytest.raises(SceneError, match="normals 'n.png' of layer 'a'"):
        flat([layer], files("n.png", np.full((8, 8, 3), 255, np.uint8)))
    with pytest.raises(SceneError, match="wrong mode"):
        flat([layer], files("n.png", np.full((8, 8), 255, np.uint8)))
