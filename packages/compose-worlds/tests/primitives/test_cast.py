"""First hits, normals and curvature against implicit functions, in double precision."""

import math

import pytest
import torch

from compose_worlds.primitives.cast import cast, surface_at
from compose_worlds.primitives.solids import (
    CONE,
    CUBE,
    CYLINDER,
    CYLINDER_HALF,
    SHAPES,
    TORUS,
    TUBE,
)
from compose_worlds.primitives.world import Scene, Solid, stack

ASPECT = 0.9


def _cone(p):
    return torch.maximum(p[..., 0::2].norm(dim=-1) - CONE / 2 * (1 - p[..., 1]), -1 - p[..., 1])


def _capsule(p):
    y = p[..., 1] - p[..., 1].clamp(-ASPECT, ASPECT)
    return torch.stack([p[..., 0], y, p[..., 2]], -1).norm(dim=-1) - 1


# Negative inside, zero on the surface, positive outside.
IMPLICIT = {
    "sphere": lambda p: p.norm(dim=-1) - 1,
    "cube": lambda p: p.abs().amax(-1) - CUBE,
    "cylinder": lambda p: torch.maximum(
        p[..., 0::2].norm(dim=-1) - CYLINDER, p[..., 1].abs() - CYLINDER_HALF
    ),
    "cone": _cone,
    "torus": lambda p: torch.hypot(p[..., :2].norm(dim=-1) - TORUS, p[..., 2]) - TUBE,
    "capsule": _capsule,
}
SIZE = 0.7


def rotation(generator):
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    return q * torch.linalg.det(q)


def case(shape, rays=500):
    """One rotated, scaled solid, rays towards it, and its implicit function in the world."""
    generator = torch.Generator().manual_seed(SHAPES.index(shape))
    turn = rotation(generator)
    solid = Solid(
        shape=shape,
        color="red",
        position=(0.3, 0.8, 4.0),
        size=SIZE,
        aspect=ASPECT,
        rotation=tuple(map(tuple, turn.tolist())),
    )
    world = stack([Scene(solids=(solid,))]).double()

    def around():
        return torch.randn(1, rays, 3, generator=generator, dtype=torch.float64)

    way = around()
    origin = world.position[:, :1] + 3 * way / way.norm(dim=-1, keepdim=True)
    aim = world.position[:, :1] + 0.45 * around()
    length = 0.4 + torch.rand(1, rays, 1, generator=generator, dtype=torch.float64)
    direction = (aim - origin) * length

    def implicit(point):
        local = (point - world.position[0, 0]) @ world.rotation[0, 0] / world.size[0, 0]
        return IMPLICIT[shape](local)

    return world, origin, direction, implicit


def first_root(implicit, origin, direction, steps=1500):
    """Distance to the first change of sign, by sampling and bisection; and the least value met."""
    end = 6 / direction.norm(dim=-1)
    t = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None] * end
    values = implicit(origin[None] + t[..., None] * direction[None])
    inside = values < 0
    first = inside.to(torch.int8).argmax(0)
    ray = torch.arange(len(end))
    low, high = t[(first - 1).clamp_min(0), ray], t[first, ray]
    for _ in range(60):
        middle = (low + high) / 2
        is_in = implicit(origin + middle[:, None] * direction) < 0
        low, high = torch.where(is_in, low, middle), torch.where(is_in, middle, high)
    return torch.where(inside.any(0), high, torch.full_like(high, math.inf)), values.amin(0)


@pytest.mark.parametrize("shape", SHAPES)
def test_first_hits_agree_with_bisection(shape):
    world, origin, direction, implicit = case(shape)
    t = cast(world, origin, direction)[0, 0]
    true, least = first_root(implicit, origin[0], direction[0])
    clear = least.abs() > 2e-3  # rays that graze the surface may count either way
    assert clear.sum() > 400
    assert not (t.isfinite() & true.isinf() & clear).any()
    missed = (t.isinf() & true.isfinite() & clear).float().mean()
    # The torus is marched: a ray that first passes close by its ring may be given up.
    assert missed <= (0.01 if shape == "torus" else 0)
    hit = clear & t.isfinite()
    assert hit.sum() > 100
    assert (t - true)[hit].abs().max() < 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_normals_are_gradients_of_the_implicit_function(shape):
    world, origin, direction, implicit = case(shape)
    t = cast(world, origin, direction)[0, 0]
    hit = t.isfinite()
    point = (origin[0] + t[:, None] * direction[0])[hit]
    winner = torch.zeros(1, len(point), dtype=torch.long)
    normal, _ = surface_at(world, point[None], winner)

    def gradient(h):
        around = [
            implicit(point + h * axis) - implicit(point - h * axis)
            for axis in torch.eye(3, dtype=torch.float64)
        ]
        slope = torch.stack(around, -1)
        return slope / slope.norm(dim=-1, keepdim=True)

    # Near an edge the gradient depends on the step.
    smooth = (gradient(1e-5) - gradient(1e-2)).norm(dim=-1) < 0.1
    assert smooth.sum() > 100
    assert (normal[0] - gradient(1e-5))[smooth].abs().max() < 1e-4


def curvature_at(shape, local):
    generator = torch.Generator().manual_seed(5)
    turn = rotation(generator)
    solid = Solid(
        shape=shape,
        color="red",
        position=(0.0, 0.0, 0.0),
        size=SIZE,
        aspect=ASPECT,
        rotation=tuple(map(tuple, turn.tolist())),
    )
    world = stack([Scene(solids=(solid,))]).double()
    point = torch.tensor([[local]], dtype=torch.float64) * SIZE @ world.rotation[0, 0].t()
    return surface_at(world, point, torch.zeros(1, 1, dtype=torch.long))[1][0, 0].tolist()


@pytest.mark.parametrize(
    ("shape", "local", "first", "second"),
    [
        ("sphere", (0.6, 0.0, 0.8), 1.0, 1.0),
        ("cube", (0.1, CUBE, 0.2), 0.0, 0.0),
        ("cylinder", (CYLINDER, 0.3, 0.0), 1 / CYLINDER, 0.0),
        ("cylinder", (0.1, CYLINDER_HALF, 0.0), 0.0, 0.0),
        # A cone's circle of radius rho curves by cos(half angle) / rho.
        ("cone", (CONE / 2, 0.0, 0.0), math.cos(math.atan(CONE / 2)) / (CONE / 2), 0.0),
        ("cone", (0.2, -1.0, 0.1), 0.0, 0.0),
        ("torus", (TORUS + TUBE, 0.0, 0.0), 1 / TUBE, 1 / (TORUS + TUBE)),
        ("torus", (TORUS - TUBE, 0.0, 0.0), 1 / TUBE, -1 / (TORUS - TUBE)),
        ("torus", (TORUS, 0.0, TUBE), 1 / TUBE, 0.0),
        ("capsule", (0.6, ASPECT / 2, 0.8), 1.0, 0.0),
        ("capsule", (0.6, ASPECT + 0.8, 0.0), 1.0, 1.0),
    ],
)
def test_curvature_of_known_points(shape, local, first, second):
    found = curvature_at(shape, local)
    assert found == pytest.approx([first / SIZE, second / SIZE], rel=1e-5, abs=1e-6)
