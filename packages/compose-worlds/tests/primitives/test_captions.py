"""What captions claim is true of the scenes they speak of."""

import hashlib
import math

import pytest
import torch

from compose_worlds.primitives import camera, draw
from compose_worlds.primitives.captions import (
    RELATIONS,
    Claim,
    Relation,
    mirrored,
    phrase,
    placeless,
    scenery,
    sided,
    vague,
    vocabulary,
)
from compose_worlds.primitives.world import rest_height, stack

COUNT = 300


@pytest.fixture(scope="module")
def drawn():
    found = [draw.scene(i) for i in range(COUNT)]
    return [(s, claims, draw.caption(s, claims, i)) for i, (s, claims) in enumerate(found)]


def holds(name, a, b, scene):
    """Whether a relation of two solids is true of their positions in space."""
    world = stack([scene])
    points = torch.tensor([[a.position, b.position]])
    at, depth = camera.project(world, points)
    (xa, xb), (da, db) = at[0, :, 0].tolist(), depth[0].tolist()
    on = (
        a.position[0::2] == b.position[0::2]
        and abs(a.position[1] - b.position[1] - _rest(a) - _rest(b)) < 1e-6
    )
    return {
        "left of": xa < xb,
        "right of": xa > xb,
        "behind": da > db,
        "in front of": da < db,
        "on": on,
    }[name]


def _rest(solid):
    scale = 0.52 if solid.shape == "capsule" else 1.0
    return rest_height(solid.shape, solid.size / scale)


def matching(claim, scene):
    return [s for s in scene.solids if (s.shape, s.color) == (claim.shape, claim.color)]


def test_the_text_of_captions_is_the_one_that_models_were_trained_on():
    text = "\n".join(draw.caption(*draw.scene(i), i).text for i in range(256))
    name = "fcc19e3ee9c6216f9c255ef44359cc0d41ed188fcf915cb807299b62cb5bab08"
    assert hashlib.sha256(text.encode()).hexdigest() == name


def test_objects_that_are_claimed_are_there(drawn):
    for scene, _, caption in drawn:
        counts = [len(matching(claim, scene)) for claim in caption.claims]
        assert counts == [claim.count for claim in caption.claims]
        if caption.complete:
            assert sum(counts) == len(scene.solids)
        assert caption.environment == scene.setting.environment


def test_sizes_that_are_claimed_are_true(drawn):
    heights = {"small": [], "": [], "large": []}
    for scene, claims, _ in drawn:
        for claim, solid in zip(claims, scene.solids, strict=True):
            if solid.position[1] == pytest.approx(_rest(solid)):  # stacked ones are scaled
                heights[claim.size].append(_rest(solid) / rest_height(solid.shape, 1.0))
    assert max(heights["small"]) < min(heights[""])
    assert max(heights[""]) < min(heights["large"])


def test_relations_that_are_claimed_are_true(drawn):
    seen = set()
    for scene, _, caption in drawn:
        for relation in caption.relations:
            pair = (caption.claims[relation.subject], caption.claims[relation.other])
            (a,), (b,) = (matching(claim, scene) for claim in pair)
            assert holds(relation.name, a, b, scene)
            assert any(joint in caption.text for joint in RELATIONS[relation.name])
            seen.add(relation.name)
    assert seen == set(RELATIONS)


def test_at_least_half_of_captions_of_several_objects_have_a_relation(drawn):
    several = [caption for _, claims, caption in drawn if len(claims) > 1]
    assert sum(bool(c.relations) for c in several) >= len(several) / 2


def test_claims_are_worded_in_the_text(drawn):
    for _, _, caption in drawn:
        assert all(claim.words() in caption.text for claim in caption.claims)


def test_every_word_is_in_the_vocabulary(drawn):
    words = set(vocabulary())
    for _, _, caption in drawn:
        assert set(caption.text.replace(",", " ").split()) <= words
        assert set(mirrored(caption).text.replace(",", " ").split()) <= words
    assert {"left", "behind", "toruses", "capsules", "desert", "an", "large"} <= words


def test_captions_without_objects_claim_none():
    words = set(vocabulary())
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        setting = draw.empty(seed).setting
        assert draw.empty(seed).solids == ()
        empty = scenery(setting.environment, generator)
        some = vague(1 + seed % 4, setting.environment, generator)
        assert empty.claims == some.claims == ()
        assert empty.complete
        assert not some.complete
        assert empty.environment == some.environment == setting.environment
        assert set(f"{empty.text} {some.text}".split()) <= words


def test_a_caption_can_leave_out_its_place(drawn):
    for _, _, caption in drawn:
        bare = placeless(caption)
        assert bare.environment == ""
        assert (bare.claims, bare.relations) == (caption.claims, caption.relations)
        assert caption.text.startswith(f"{bare.text} ")
        assert all(claim.words() in bare.text for claim in caption.claims)
        assert placeless(bare) == bare


def test_mirrored_captions_are_true_of_mirrored_scenes(drawn):
    swap = {"left of": "right of", "right of": "left of"}
    for _, _, caption in drawn:
        other = mirrored(caption)
        assert mirrored(other) == caption
        assert [r.name for r in other.relations] == [
            swap.get(r.name, r.name) for r in caption.relations
        ]
        sided = any(r.name in swap for r in caption.relations)
        assert (other.text != caption.text) == sided
        assert other.claims == caption.claims


def test_sides_that_are_claimed_are_true(drawn):
    found = set()
    for number, (scene, claims, _) in enumerate(drawn):
        caption = draw.sided_caption(scene, claims, number)
        if caption is None:
            continue
        at, _ = camera.project(stack([scene]), torch.tensor([[s.position for s in scene.solids]]))
        for claim, side in zip(caption.claims, caption.sides, strict=True):
            (solid,) = matching(claim, scene)
            x = float(at[0, list(scene.solids).index(solid), 0])
            if side:
                assert (x < 0.5) == (side == "left")
                assert f"{claim.words()} on the {side}" in caption.text
            else:
                assert abs(x - 0.5) <= draw.ASIDE + 1e-3
                assert f"{claim.words()} on the left" not in caption.text
            found.add(side)
        assert caption.complete
        assert caption.environment == scene.setting.environment
    assert found == {"left", "right", ""}


def test_sides_are_left_out_where_they_would_say_nothing(drawn):
    kept = [draw.sided_caption(s, c, i) for i, (s, c, _) in enumerate(drawn)]
    silent = [d for d, caption in zip(drawn, kept, strict=True) if caption is None]
    assert silent
    for scene, claims, _ in silent:
        alike = len(set(claims)) < len(claims)
        assert len(claims) > 3 or alike or not any(draw.sides(scene))


def test_mirrored_sides_change_places(drawn):
    words = set(vocabulary())
    for number, (scene, claims, _) in enumerate(drawn):
        caption = draw.sided_caption(scene, claims, number)
        if caption is not None:
            other = mirrored(caption)
            swap = {"left": "right", "right": "left", "": ""}
            assert other.sides == tuple(swap[side] for side in caption.sides)
            assert mirrored(other) == caption
            assert set(caption.text.replace(",", " ").split()) <= words
            assert placeless(caption).sides == caption.sides


def test_phrases_with_sides():
    red, blue = Claim("cube", "red"), Claim("torus", "blue")
    plain = sided([red, blue], ["left", ""], "grass")
    assert plain.text == "a red cube on the left and a blue torus on grass"
    assert (plain.sides, plain.relations) == (("left", ""), ())
    with pytest.raises(ValueError, match="zip"):
        sided([red, blue], ["left"], "grass")


def test_plain_phrases():
    cube, cones = Claim("cube", "red"), Claim("cone", "orange", 2)
    assert phrase([cube, cones], None, "grass").text == "a red cube and two orange cones on grass"
    behind = phrase([cube, Claim("torus", "orange")], Relation(0, "behind", 1), "")
    assert behind.text == "a red cube behind an orange torus"
    assert Claim("torus", "blue", 3).words() == "three blue toruses"
    assert Claim("cone", "white", 1, "small").words() == "a small white cone"


def test_one_seed_one_scene_and_caption(drawn):
    scene, claims, caption = drawn[7]
    assert draw.scene(7) == (scene, claims)
    assert draw.caption(scene, claims, 7) == caption


def test_a_scene_can_be_worded_in_several_ways(drawn):
    scene, claims, _ = next(d for d in drawn if len(d[1]) == 3)
    assert len({draw.caption(scene, claims, i).text for i in range(40)}) > 10


def test_drawing_and_camera_agree_on_what_is_seen_where(drawn):
    for scene, _, _ in drawn[:40]:
        world = stack([scene])
        at, depth = camera.project(world, world.position)
        for i, solid in enumerate(scene.solids):
            spot = draw.seen(solid, scene.setting)
            assert [spot.x, spot.y] == pytest.approx(at[0, i].tolist(), abs=1e-5)
            assert spot.depth == pytest.approx(float(depth[0, i]), rel=1e-5)


def test_objects_do_not_touch_unless_one_stands_on_the_other(drawn):
    for scene, _, _ in drawn:
        for i, a in enumerate(scene.solids):
            for b in scene.solids[:i]:
                stacked = a.position[0::2] == b.position[0::2]
                assert stacked or math.dist(a.position, b.position) > 0.5 * (a.size + b.size)
