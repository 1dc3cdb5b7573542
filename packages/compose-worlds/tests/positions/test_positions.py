"""Toys at known positions, and finding them again."""

import math

import pytest
import torch

from compose_core.errors import ShapeError, UsageError
from compose_worlds.dice import Dice
from compose_worlds.positions import NOWHERE, draw, find, picture, places, stack
from compose_worlds.positions.scene import APART, EDGE, HELD_OUT, MOST


def test_toys_keep_their_distance_and_stay_inside():
    counts = set()
    for i in range(60):
        at = draw(i).positions[0]
        counts.add(len(at))
        assert at.min() >= EDGE and at.max() <= 1 - EDGE
        assert len(at) < 2 or torch.pdist(at).min() >= APART
    assert counts == set(range(1, MOST + 1))


def test_the_same_number_is_the_same_picture():
    a, b = picture(draw(4)), picture(draw(4))
    assert torch.equal(a, b) and a.shape == (1, 3, 32, 32) and not torch.equal(a, picture(draw(5)))
    both = picture(stack([draw(4), draw(5)]))
    assert torch.equal(both[:1], a)
    assert picture(draw(4), 64).shape == (1, 3, 64, 64)


def test_empty_slots_are_nowhere():
    toys = stack([draw(i) for i in range(8)])
    there = toys.positions[..., 0] >= 0
    assert toys.positions.shape == (8, MOST, 2)
    assert (toys.positions[~there] == NOWHERE).all()
    assert (there.long().diff(dim=1) <= 0).all()  # present ones come first


@pytest.mark.parametrize("size", [32, 64])
def test_toys_are_found_where_they_are(size):
    scenes = [draw(HELD_OUT + i) for i in range(40)]
    right = false = total = 0
    for scene, shown in zip(scenes, picture(stack(scenes), size), strict=True):
        found = find(shown)
        gaps = torch.cdist(scene.positions[0], found)
        right += int((gaps.amin(1) < 0.03).sum())
        false += max(0, len(found) - len(scene.positions[0]))
        total += len(scene.positions[0])
    assert right >= 0.98 * total and false <= 2


def test_an_empty_table_and_noise_hold_no_toys():
    toys = stack([draw(0)])
    toys.positions.fill_(NOWHERE)
    assert find(picture(toys)[0]).shape == (0, 2)
    grey = 0.6 + 0.02 * torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert len(find(grey)) == 0


def test_places_in_the_middle_as_the_paper_draws_them():
    for seed in range(20):
        found = places(Dice(seed), 5, apart=0.15, low=0.3, high=0.7)
        gaps = [math.dist(a, b) for i, a in enumerate(found) for b in found[:i]]
        assert len(found) == 5 and min(gaps) >= 0.15
        assert all(0.3 <= v <= 0.7 for p in found for v in p)


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="do not fit"):
        places(Dice(0), 30, apart=0.3)
    with pytest.raises(UsageError, match="do not fit|no positions found"):
        places(Dice(0), 5, apart=math.sqrt(0.15), low=0.3, high=0.7)
    with pytest.raises(ShapeError, match="not one picture"):
        find(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ShapeError, match="no numbers"):
        find(torch.full((3, 32, 32), float("inf")))
