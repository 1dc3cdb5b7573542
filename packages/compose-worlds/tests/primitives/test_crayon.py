"""Crayon drawings: the same for the same seed, in place, and with the crayons of the scene."""

import pytest
import torch

from compose_core.errors import ShapeError
from compose_worlds.primitives import cache, crayon
from compose_worlds.primitives.crayon import crayon as drawing

SCENES = range(2048, 2060)
SEEDS = list(SCENES)


@pytest.fixture(scope="module")
def scenes():
    made = cache.make(SCENES)
    return {
        "picture": made["picture"].float() / 255,
        "instance": made["instance"],
        "semantics": made["semantics"],
        "normals": made["normals"],
    }


@pytest.fixture(scope="module")
def drawn(scenes):
    return drawing(*scenes.values(), SEEDS)


def _gray(pictures):
    return (pictures * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)


def test_a_drawing_is_fixed_by_its_seed_and_not_by_its_batch(scenes, drawn) -> None:
    assert drawn.shape == scenes["picture"].shape and drawn.dtype == torch.float32
    assert 0 <= float(drawn.amin()) and float(drawn.amax()) <= 1
    alone = drawing(*(value[3:4] for value in scenes.values()), SEEDS[3:4])
    assert torch.equal(alone[0], drawn[3])
    other = drawing(*(value[3:4] for value in scenes.values()), [1])
    assert not torch.allclose(other, alone, atol=0.05)


def test_drawing_leaves_the_global_generator_alone(scenes) -> None:
    before = torch.random.get_rng_state()
    drawing(*(value[:1] for value in scenes.values()), [0])
    assert torch.equal(before, torch.random.get_rng_state())


def test_absent_objects_may_be_negative_as_well(scenes, drawn) -> None:
    """Labels of `labels` have -1 where those of the cache have 255."""
    instance = scenes["instance"][:2].long()
    instance[instance == 255] = -1
    rest = (scenes[name][:2] for name in ("semantics", "normals"))
    assert torch.equal(drawing(scenes["picture"][:2], instance, *rest, SEEDS[:2]), drawn[:2])


def test_the_ground_is_nearly_paper(scenes, drawn) -> None:
    """Places are brighter than objects' outlines and than in the picture, and less colourful."""
    outside = scenes["instance"] == 255
    assert float(_gray(drawn)[outside].mean()) > 0.75
    assert float(_gray(drawn)[outside].mean()) > float(_gray(scenes["picture"])[outside].mean())

    def colour(pictures):
        return float((pictures.amax(1) - pictures.amin(1))[outside].mean())

    assert colour(drawn) < 0.7 * colour(scenes["picture"])


def test_outlines_are_darker_than_both_sides(scenes, drawn) -> None:
    """The darker half of the pixels along the edge of a coloured object is darker than inside."""
    pairs = []
    for picture, mask in zip(_gray(drawn), scenes["instance"] != 255, strict=True):
        solid = mask[None, None].float()
        inner = -torch.nn.functional.max_pool2d(-solid, 5, 1, 2)[0, 0] > 0
        near = torch.nn.functional.max_pool2d(solid, 3, 1, 1)[0, 0] > 0
        core = -torch.nn.functional.max_pool2d(-solid, 3, 1, 1)[0, 0] > 0
        if int(inner.sum()) > 20 and float(picture[inner].mean()) > 0.2:
            pairs.append((picture[near & ~core].quantile(0.25), picture[inner].mean()))
    assert len(pairs) >= 6
    assert all(bool(line < fill) for line, fill in pairs)


def test_objects_are_flat_in_their_own_colour(scenes, drawn) -> None:
    """Inside, light and shadow are weaker than rendered; the hue stays that of the object."""
    for i in range(len(drawn)):
        mask = (scenes["instance"][i] == 0)[None, None].float()
        inside = -torch.nn.functional.max_pool2d(-mask, 5, 1, 2)[0, 0] > 0
        if int(inside.sum()) < 40:
            continue
        before, after = (x[i][:, inside] for x in (scenes["picture"], drawn))
        strong = float(before.mean(1).max() - before.mean(1).min()) > 0.3
        assert not strong or int(before.mean(1).argmax()) == int(after.mean(1).argmax())


def test_drawings_are_in_place(scenes, drawn) -> None:
    """The hand strays by less than a pixel or two: what is dark is near the object's mask."""
    for i in range(len(drawn)):
        mask = (scenes["instance"][i] != 255)[None, None].float()
        wide = torch.nn.functional.max_pool2d(mask, 7, 1, 3)[0, 0] > 0
        dark = _gray(drawn)[i] < 0.3
        assert not bool((dark & ~wide).any())


def test_a_larger_picture_is_the_same_kind_of_drawing(scenes) -> None:
    double = {k: v.repeat_interleave(2, -1).repeat_interleave(2, -2) for k, v in scenes.items()}
    large = drawing(*(value[:1] for value in double.values()), [5])
    assert large.shape == (1, 3, 128, 128) and bool(large.isfinite().all())
    small = drawing(*(value[:1] for value in scenes.values()), [5])
    shrunk = torch.nn.functional.avg_pool2d(large, 8)
    assert float((shrunk - torch.nn.functional.avg_pool2d(small, 4)).abs().mean()) < 0.08


def test_an_empty_place_can_be_drawn() -> None:
    shown = torch.full((1, 3, 32, 32), 0.5)
    none = torch.full((1, 32, 32), 255, dtype=torch.uint8)
    place = torch.zeros(1, 32, 32, dtype=torch.uint8)
    made = drawing(shown, none, place, torch.zeros(1, 3, 32, 32), [0])
    assert bool(made.isfinite().all()) and float(made.mean()) > 0.7


def test_labels_of_other_pictures_are_refused(scenes) -> None:
    whole = list(scenes.values())
    with pytest.raises(ShapeError, match="do not fit"):
        drawing(whole[0], whole[1][:2], *whole[2:], SEEDS)
    with pytest.raises(ShapeError, match="do not fit"):
        drawing(*whole, SEEDS[:1])
    assert set(crayon.FILLED) == {"sky", "ground", "wall"}
