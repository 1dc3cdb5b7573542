"""From perfect readings, made of exact labels, to objects and verdicts."""

import pytest
import torch
from torch.nn import functional as F

from compose_worlds.judge import Readings, objects, overlap, verdict
from compose_worlds.primitives import draw
from compose_worlds.primitives.captions import Caption, Claim, Relation, mirrored
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.render import SEMANTICS
from compose_worlds.primitives.world import COLORS, Scene, stack, toy

SURE = 30.0


def perfect(scenes, size=64):
    """What a judge without fault would read."""
    world = stack(scenes)
    seen = labels(world, (size, size))
    names = list(COLORS)
    wide = world.shape.shape[1]
    colors = [[names.index(o.color) + 1 for o in s.solids] for s in scenes]
    table = torch.tensor([c + [0] * (wide - len(c)) for c in colors])
    color = table.gather(1, seen.instance.clamp_min(0).flatten(1)).view_as(seen.instance)
    color = torch.where(seen.instance >= 0, color, torch.zeros_like(color))
    grid = (torch.arange(size) + 0.5) / size
    heat = torch.full((len(scenes), 1, size, size), 1e-6)
    offset = torch.zeros(len(scenes), 2, size, size)
    for b, n in seen.visible.flatten(2).any(-1).nonzero().tolist():
        mask = seen.visible[b, n]
        rows, columns = mask.nonzero(as_tuple=True)
        x, y = grid[columns].mean(), grid[rows].mean()
        distance = (grid[:, None] - y) ** 2 + (grid[None, :] - x) ** 2
        heat[b, 0] = torch.maximum(heat[b, 0], torch.exp(-distance * size**2 / 4.5))
        offset[b, :, mask] = torch.stack([x - grid[columns], y - grid[rows]])
    return Readings(
        semantics=SURE * F.one_hot(seen.semantics, len(SEMANTICS)).permute(0, 3, 1, 2).float(),
        color=SURE * F.one_hot(color, len(COLORS) + 1).permute(0, 3, 1, 2).float(),
        centre=torch.logit(heat.clamp(1e-6, 1 - 1e-6)),
        offset=offset,
        depth=seen.inverse_depth,
        normals=seen.normals,
    ), seen


def apart(seen, index):
    """Whether every object is mostly visible and of a fair size."""
    there = seen.amodal[index].flatten(1).sum(1)
    shown = seen.visible[index].flatten(1).sum(1)
    real = there > 0
    return bool(((shown[real] > 0.7 * there[real]) & (shown[real] > 40)).all())


@pytest.fixture(scope="module")
def cases():
    drawn = [draw.scene(2000 + i) for i in range(48)]
    readings, seen = perfect([scene for scene, _ in drawn])
    captions = [draw.caption(s, c, i) for i, (s, c) in enumerate(drawn)]
    good = [i for i in range(len(drawn)) if apart(seen, i)]
    assert len(good) > 30
    return [(drawn[i][0], captions[i], objects(readings, i), seen, i) for i in good]


def test_the_true_objects_are_found(cases):
    for scene, _, found, _, _ in cases:
        true = sorted((s.shape, s.color) for s in scene.solids)
        assert sorted((f.shape, f.color) for f in found) == true


def test_places_sizes_and_depths_are_right(cases):
    for scene, _, found, seen, index in cases:
        kinds = [(s.shape, s.color) for s in scene.solids]
        if len(set(kinds)) < len(kinds):
            continue
        for one in found:
            mask = seen.visible[index, kinds.index((one.shape, one.color))]
            assert torch.equal(one.mask, mask)
            assert one.pixels == int(mask.sum())
            rows, columns = mask.nonzero(as_tuple=True)
            assert one.box[0] == float(columns.min()) / 64
            assert one.box[3] == float(rows.max() + 1) / 64
            depth = seen.depth[index, 0, mask].median()
            assert one.depth == pytest.approx(float(depth), rel=0.02)
        assert [f.depth for f in found] == sorted(f.depth for f in found)


def test_true_captions_hold(cases):
    for _, caption, found, _, _ in cases:
        result = verdict(caption, found)
        assert result.all
        assert all(result.claims)
        if caption.complete:
            assert result.exact
        assert all(result.relations)


def test_mirrored_relations_do_not_hold(cases):
    checked = 0
    for _, caption, found, _, _ in cases:
        if any(r.name in ("left of", "right of") for r in caption.relations):
            assert verdict(mirrored(caption), found).relations == (False,)
            checked += 1
    assert checked > 3


def test_nothing_is_found_in_an_empty_scene():
    readings, _ = perfect([Scene()])
    assert objects(readings) == []


def two(*toys):
    readings, _ = perfect([Scene(solids=toys)])
    return objects(readings)


RED, BLUE = Claim("sphere", "red"), Claim("cube", "blue")


def test_verdicts_of_duplicates_and_absences():
    once = two(toy("sphere", "red", -0.8, 4.0), toy("cube", "blue", 0.8, 4.0))
    both = Caption("", (RED, BLUE), (Relation(0, "left of", 1),), "")
    assert verdict(both, once).exact
    assert verdict(both, once).relations == (True,)
    twice = two(
        toy("sphere", "red", -0.9, 4.0),
        toy("sphere", "red", 0.0, 5.0),
        toy("cube", "blue", 0.9, 4.0),
    )
    assert verdict(both, twice).all
    assert not verdict(both, twice).exact
    pair = Caption("", (Claim("sphere", "red", 2), BLUE), (), "")
    assert verdict(pair, twice).exact
    assert verdict(pair, once).claims == (False, True)
    missing = Caption("", (RED, Claim("cone", "blue")), (Relation(0, "behind", 1),), "")
    assert verdict(missing, once).relations == (None,)
    assert not verdict(missing, once).all


def test_a_stack_is_read_as_one_on_the_other():
    below = toy("cube", "blue", 0.0, 4.0, size=0.6)
    above = toy("sphere", "red", 0.0, 4.0, size=0.45, base=0.96)
    found = two(below, above)
    on = Caption("", (RED, BLUE), (Relation(0, "on", 1),), "")
    assert verdict(on, found).relations == (True,)
    under = Caption("", (BLUE, RED), (Relation(0, "on", 1),), "")
    assert verdict(under, found).relations == (False,)


def test_a_side_is_the_half_of_the_picture_that_holds_the_centre():
    found = two(toy("sphere", "red", -0.8, 4.0), toy("cube", "blue", 0.8, 4.0))
    cone = Claim("cone", "blue")
    said = Caption(
        "", (RED, BLUE, RED, cone, BLUE), (), "", sides=("left", "left", "", "left", "right")
    )
    assert verdict(said, found).sides == (True, False, None, None, True)
    assert verdict(Caption("", (RED, BLUE), (), ""), found).sides == ()


def test_boxes_overlap_as_areas_do():
    assert overlap((0, 0, 1, 1), (0.5, 0, 1, 1)) == pytest.approx(0.5)
    assert overlap((0, 0, 0.5, 1), (0.25, 0, 0.75, 1)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 0.2, 0.2), (0.5, 0.5, 1, 1)) == 0
