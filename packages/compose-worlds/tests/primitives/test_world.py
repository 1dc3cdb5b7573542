"""Scenes as tensors; names and extents that are refused."""

import pytest
import torch

from compose_core.errors import SceneError
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.render import SEMANTICS
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import (
    CLASSES,
    Scene,
    Setting,
    Solid,
    rest_height,
    stack,
    toy,
)


def test_class_numbers_are_fixed():
    first = ("sky", "ground", "wall", "sphere", "cube", "cylinder", "cone", "torus", "capsule")
    assert first == SEMANTICS
    assert (*first, "figure") == CLASSES


@pytest.mark.parametrize("shape", SHAPES)
def test_toys_stand_on_the_ground(shape):
    """Seen level from the ground's height, the lowest point is on the horizon."""
    size = 0.6
    world = stack([Scene(solids=(toy(shape, "red", 0, 4.0, size=size),))]).double()
    from compose_worlds.primitives.cast import cast

    x = torch.linspace(-0.5, 0.5, 41, dtype=torch.float64)
    spots = torch.stack(torch.meshgrid(x, x + 4, indexing="ij"), -1).flatten(0, 1)
    origin = torch.stack([spots[:, 0], torch.full_like(x, -1).repeat(41), spots[:, 1]], -1)
    up = torch.tensor([[[0.0, 1.0, 0.0]]], dtype=torch.float64)
    assert float(cast(world, origin[None], up).min()) == pytest.approx(1.0, abs=2e-3)
    assert toy(shape, "red", 0, 4.0, size=size).position[1] == rest_height(shape, size)


def test_parts_make_one_object():
    parts = [
        Solid(shape="sphere", color="red", position=(x, 0.5, 4.0), size=0.3, member=7)
        for x in (-0.3, 0.3)
    ]
    lone = toy("cube", "blue", 1.0, 4.0)
    scene = Scene(solids=(parts[0], lone, parts[1]))
    assert scene.objects == ((0, 2), (1,))
    seen = labels(stack([scene]), (64, 64))
    assert seen.amodal.shape[1] == 2
    assert seen.boxes[0, 0, 0] < 0.4 < 0.6 < seen.boxes[0, 0, 2]


def test_scenes_of_different_sizes_are_padded():
    world = stack([Scene(), Scene(solids=(toy("cube", "red", 0, 4), toy("cone", "blue", 1, 4)))])
    assert world.shape.tolist()[0] == [-1, -1]
    assert world.objects == 2
    assert (labels(world, (8, 8)).instance[0] == -1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: toy("sphere", "rde", 0, 4), "red"),
        (lambda: Solid(shape="cub", color="red", position=(0, 0, 4)), "cube"),
        (lambda: Solid(shape="cube", color="red", position=(0, 0, 4), size=0.0), "extent"),
        (lambda: Solid(shape="cube", color="red", position=(0, 0, 4), kind="figur"), "figure"),
        (lambda: stack([Scene(setting=Setting(environment="gras"))]), "grass"),
        (lambda: stack([]), "nothing to stack"),
    ],
)
def test_what_cannot_be_rendered_is_refused(make, message):
    with pytest.raises(SceneError, match=message):
        make()
