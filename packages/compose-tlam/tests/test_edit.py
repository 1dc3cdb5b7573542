"""Edits: what is nearer hides what is farther; where something went, its surroundings go on."""

import pytest
import torch

from compose_core.errors import SceneError, ShapeError, UsageError
from compose_tlam.edit import fitted_scale, insert, remove
from compose_tlam.labels import PRIMITIVES
from compose_tlam.scene import from_scene
from compose_tlam.stack import LabelStack


@pytest.fixture
def room(scene):
    """A board 4 m away, and its scale: near is 1 / 4."""
    return from_scene(scene((0.0, 4.0)), PRIMITIVES).stack


def test_the_scale_is_that_of_the_ground(room, renderer, scene):
    from compose_core.scene import Camera

    proxies = [layer.proxy for layer in scene((0.3, 1.0)).layers]
    far, near = fitted_scale(room, renderer(Camera(), proxies, 16, 16))
    assert far == pytest.approx(0, abs=1e-5) and near == pytest.approx(0.25, abs=1e-4)


def test_a_nearer_solid_hides_and_brings_all_of_its_labels(room, scene):
    stack, where = insert(room, scene((0.2, 2.0)))
    assert bool(where[6, 8:15].all())
    assert torch.equal(
        stack.layers["semantics"].value[0][where], torch.full((int(where.sum()),), 4)
    )
    depth = stack.layers["depth"].value[0, 0]
    assert float(depth[where].min()) == 1.0  # now the nearest
    assert torch.allclose(depth[6, 5], torch.tensor(0.5), atol=1e-3)  # the board at 4 m
    assert bool(stack.layers["normals"].valid[0][where].all())
    assert torch.allclose(
        stack.layers["curvature"].value[0][:, where], torch.tensor(1.5).expand(2, int(where.sum()))
    )


def test_a_farther_solid_is_hidden_where_something_stands_before_it(room, scene):
    stack, where = insert(room, scene((0.2, 8.0)))
    assert not bool(where[6, 4:12].any()) and bool(where[6, 12:15].all())
    untouched = ~where
    for name, layer in room.layers.items():
        if name in ("edges", "depth"):
            continue
        after = stack.layers[name]
        assert torch.equal(after.valid[0][untouched], layer.valid[0][untouched])
    with pytest.raises(SceneError, match="nothing of what was inserted is seen"):
        insert(room, scene((0.0, 9.0)))


def test_an_explicit_scale_is_taken(room, scene):
    _, where = insert(room, scene((0.2, 2.0)), (0.0, 3.0))
    assert not bool(where[6, 4:12].any())


def test_labels_without_ground_or_depth_are_refused(room, scene):
    with pytest.raises(SceneError, match="labels have none"):
        insert(room.without("depth"), scene((0.0, 2.0)))
    with pytest.raises(SceneError, match="scale of the depth"):
        insert(room.without("semantics"), scene((0.2, 2.0)))
    upside = room.map(
        lambda label, x: x if label.name != "depth" else type(x)(1 - x.value, x.valid)
    )
    with pytest.raises(SceneError, match="does not fit the camera"):
        insert(upside, scene((0.2, 2.0)))


def test_a_scene_without_proxies_inserts_nothing(room):
    from compose_core.scene import build

    document = {"version": 1, "canvas": [16, 16], "prompt": "x"}
    empty = build({**document, "layers": [{"name": "a", "prompt": "a ball"}]})
    with pytest.raises(SceneError, match="nothing to insert"):
        insert(room, empty)


def test_removal_may_leave_no_label_inside_and_keeps_all_outside(draw):
    stack = draw(1, 16, 16, present=1.0)
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:8, 4:8] = True
    found = remove(stack, mask, fill="none")
    for layer in found.layers.values():
        assert not bool(layer.valid[0, 3:9, 3:9].any())
        assert int((~layer.valid).sum()) == 36
    exact = remove(stack, mask, margin=0, fill="none")
    assert int((~exact.layers["depth"].valid).sum()) == 16


def test_what_is_removed_is_filled_from_the_nearest_pixel_outside(draw):
    stack = draw(1, 16, 16, present=0.7)
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:9, 5:9] = True
    found = remove(stack, mask, margin=0)
    for y in range(16):
        for x in range(16):
            v, w = y, x
            if mask[y, x]:
                outside = [(i, j) for i in range(16) for j in range(16) if not mask[i, j]]
                v, w = min(outside, key=lambda at: ((at[0] - y) ** 2 + (at[1] - x) ** 2, at))
            for name, layer in found.layers.items():
                old = stack.layers[name]
                assert layer.valid[0, y, x] == old.valid[0, v, w]
                expected = old.value[0][..., v, w]
                if name == "edges" and mask[y, x]:
                    expected = torch.zeros_like(expected)
                assert torch.equal(layer.value[0][..., y, x], expected)


def test_a_solid_on_a_plain_is_gone_without_a_trace():
    """Rows of one depth, as ground seen from above: what is left is the plain."""
    depth = torch.linspace(0, 1, 16)[:, None].expand(16, 16).clone()
    classes = torch.ones(16, 16, dtype=torch.long)
    bare = LabelStack.of(PRIMITIVES.only("semantics", "depth"),
                         {"semantics": classes[None], "depth": depth[None, None]})  # fmt: skip
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[5:12, 6:9] = True
    values = {
        "semantics": torch.where(mask, 3, classes)[None],
        "depth": torch.where(mask, 1.0, depth)[None, None],
    }
    found = remove(LabelStack.of(bare.labels, values), mask)
    assert torch.equal(found.layers["semantics"].value, bare.layers["semantics"].value)
    gap = (found.layers["depth"].value - bare.layers["depth"].value).abs().max()
    assert float(gap) <= 3 / 15 + 1e-6  # nothing is farther than three pixels from its source


def test_masks_that_do_not_fit_are_refused(draw):
    stack = draw(1, 16, 16)
    with pytest.raises(ShapeError, match="8 x 4"):
        remove(stack, torch.ones(4, 8, dtype=torch.bool))
    with pytest.raises(SceneError, match="mask is empty"):
        remove(stack, torch.zeros(16, 16, dtype=torch.bool))
    assert remove(stack, torch.ones(16, 16, dtype=torch.bool)).empty
    with pytest.raises(UsageError, match="around or none"):
        remove(stack, torch.ones(16, 16, dtype=torch.bool), fill="sky")
