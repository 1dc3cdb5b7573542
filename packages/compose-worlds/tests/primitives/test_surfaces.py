"""Normals against finite differences of depth, curvature against those of normals.

Central differences of neighbouring pixels err by the square of the pixel's size. Compared are
pixels of one smooth piece, away from outlines and creases and seen at less than 60 degrees from
the front: normals of planes agree to 1e-5 degrees, those of curved solids to 0.2 degrees on
average and to 3 at worst (the tube of the torus is 20 pixels thick), curvature to 3 % of the
largest.
"""

import math

import pytest
import torch

from compose_worlds.primitives import camera
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import Scene, Setting, Solid, stack

SIZE = (160, 120)


def tilted():
    """Turned about two axes, so that no face is seen straight on."""
    a, b = math.radians(35), math.radians(25)
    x = torch.tensor([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    z = torch.tensor([[math.cos(b), -math.sin(b), 0], [math.sin(b), math.cos(b), 0], [0, 0, 1]])
    return tuple(map(tuple, (z @ x).tolist()))


@pytest.fixture(scope="module")
def known():
    setting = Setting(height=1.7, pitch=12.0, fov=26.0)
    scenes = [
        Scene(
            solids=(
                Solid(
                    shape=shape, color="red", position=(0, 0.85, 4.0), size=0.7, rotation=tilted()
                ),
            ),
            setting=setting,
        )
        for shape in SHAPES
    ]
    world = stack(scenes).double()
    seen = labels(world, SIZE)
    rays = camera.to_camera(world, camera.rays(world, SIZE))
    points = rays.unflatten(1, (SIZE[1], SIZE[0])) * seen.depth[:, 0, ..., None]
    return seen, points, seen.normals.permute(0, 2, 3, 1)


def step(values, axis):
    """Central difference over two pixels, inner pixels only."""
    inner = slice(1, -1)
    if axis == "x":
        return values[:, inner, 2:] - values[:, inner, :-2]
    return values[:, :-2, inner] - values[:, 2:, inner]


def smooth(known, number, least=0.5):
    """Inner pixels whose neighbourhood is one smooth piece of object 0, or of the ground."""
    seen, _, normals = known
    piece = seen.instance if number >= 0 else torch.where(seen.semantics == 1, -1, 7)
    same = piece == (0 if number >= 0 else -1)
    around = torch.stack([same.roll((i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    bend = torch.stack(
        [(normals * normals.roll((i, j), (1, 2))).sum(-1) for i in (-2, 0, 2) for j in (-2, 0, 2)]
    )
    good = around.all(0) & (bend.amin(0) > 0.9) & (normals[..., 2] > least)
    return good[:, 1:-1, 1:-1]


def from_depth(points):
    normal = torch.linalg.cross(step(points, "x"), step(points, "y"))
    return normal / normal.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_normals_of_solids(known, shape):
    number = SHAPES.index(shape)
    _, points, normals = known
    good = smooth(known, number)[number]
    assert good.sum() > 300
    cosine = (from_depth(points)[number] * normals[number, 1:-1, 1:-1]).sum(-1)[good]
    error = cosine.clamp_max(1.0).acos().rad2deg()
    assert error.mean() < 0.2
    assert error.max() < (1e-5 if shape == "cube" else 3)


def test_normals_of_the_tilted_ground(known):
    _, points, normals = known
    good = smooth(known, -1, least=0.0)
    assert good.sum() > 10_000
    assert (from_depth(points) - normals[:, 1:-1, 1:-1])[good].abs().max() < 1e-5


def shape_operator(points, normals):
    """Principal curvatures (B, H, W, 2) from dN = W dP in the tangent plane, larger first."""
    n = normals[:, 1:-1, 1:-1]
    helper = n.new_tensor([0.3, 0.9, 0.2]).expand_as(n)
    e1 = torch.linalg.cross(n, helper)
    e1 = e1 / e1.norm(dim=-1, keepdim=True)
    basis = torch.stack([e1, torch.linalg.cross(n, e1)], -2)

    def tangent(values):
        moved = torch.stack([step(values, "x"), step(values, "y")], -1)
        return basis @ moved

    w = tangent(normals) @ torch.linalg.inv(tangent(points))
    found = torch.linalg.eigvalsh((w + w.mT) / 2)
    order = found.abs().argsort(-1, descending=True)
    return found.gather(-1, order)


@pytest.mark.parametrize("shape", SHAPES)
def test_curvature_of_solids(known, shape):
    number = SHAPES.index(shape)
    seen, points, normals = known
    good = smooth(known, number)[number]
    # A capsule's ends meet its side smoothly, but the curvature jumps there.
    second = seen.curvature[number].sum(0)
    jump = (step(second[None], "x").abs() + step(second[None], "y").abs())[0] > 0.2 * 1 / 0.7
    good &= ~jump if shape == "capsule" else torch.ones_like(jump)
    safe = torch.where(points.isfinite(), points, torch.randn(points.shape).to(points))
    measured = shape_operator(safe[number : number + 1], normals[number : number + 1])[0][good]
    exact = seen.curvature[number, :, 1:-1, 1:-1].permute(1, 2, 0)[good]
    assert good.sum() > 300
    assert (measured - exact).abs().max() < 0.03 * max(float(exact.abs().max()), 1.0)


def test_the_inner_side_of_a_torus_is_a_saddle(known):
    seen, _, _ = known
    second = seen.curvature[SHAPES.index("torus"), 1]
    assert second.min() < -0.5
    assert second.max() > 0.5
