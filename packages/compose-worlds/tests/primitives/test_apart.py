"""A scene is its foreground before what is behind it."""

import pytest
import torch

from compose_worlds.primitives import draw
from compose_worlds.primitives.apart import front, take_apart
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import Scene, stack

NUMBERS = range(12)


@pytest.fixture(scope="module")
def scenes():
    return [draw.scene(i)[0] for i in NUMBERS]


@pytest.fixture(scope="module")
def chosen(scenes):
    return [front(scene, i) for i, scene in enumerate(scenes)]


def test_depth_inside_is_of_the_foreground_and_outside_of_the_rest(scenes, chosen):
    found = take_apart(scenes, chosen)
    assert torch.equal(found.whole, labels(stack(scenes)).inverse_depth[:, 0])
    assert bool(found.mask.flatten(1).any(1).all())
    assert bool((found.behind[found.mask] < found.whole[found.mask]).all())
    assert torch.equal(found.behind[~found.mask], found.whole[~found.mask])


def test_the_background_is_the_scene_without_the_foreground(scenes, chosen):
    found = take_apart(scenes, chosen)
    for row, (scene, mine) in enumerate(zip(scenes, chosen, strict=True)):
        rest = tuple(s for s, gone in zip(scene.solids, mine, strict=True) if not gone)
        left = stack([Scene(solids=rest, setting=scene.setting)])
        torch.testing.assert_close(
            found.background[row], picture(left, (64, 64))[0], atol=2e-3, rtol=0
        )
        torch.testing.assert_close(found.behind[row], labels(left).inverse_depth[0, 0])
