"""Unit solids: where a ray meets them, and the exact normal and curvature there.

Every solid lives in its own frame, is centred at the origin and stands along ``y``:

========  =====================================================================
sphere    radius 1
cube      half edge `CUBE`
cylinder  radius `CYLINDER`, half height `CYLINDER_HALF`
cone      apex at y = 1, base of radius `CONE` at y = -1
torus     ring radius `TORUS`, tube radius `TUBE`, standing (its axis is ``z``)
capsule   radius 1 around the segment |y| <= aspect
========  =====================================================================

Rays are flat lists: origins and directions are (N, 3), distances (N,), in the unit frame. The
directions need not be unit vectors: distances are measured in multiples of them, so a distance
found in a rotated and scaled frame is the distance in the world.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

CUBE = 0.8
CYLINDER, CYLINDER_HALF = 0.8, 0.85
CONE = 0.9
TORUS, TUBE = 0.68, 0.32

SHAPES: tuple[str, ...] = ("sphere", "cube", "cylinder", "cone", "torus", "capsule")
"""Names of the solids; a solid's position here is its number in every label."""

_NEAR = 1e-4
_MARCH_STEPS, _NEWTON_STEPS = 28, 3


def _root(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Both roots of ``a t^2 + 2 b t + c``, NaN where there are none, the smaller first."""
    root = (b * b - a * c).sqrt()
    low, high = (-b - root) / a, (-b + root) / a
    return torch.minimum(low, high), torch.maximum(low, high)


def _first(*candidates: tuple[Tensor, Tensor]) -> Tensor:
    """Smallest positive distance among (distance, allowed) pairs, inf where there is none."""
    inf = torch.full_like(candidates[0][0], math.inf)
    kept = [torch.where(ok & (t > _NEAR), t, inf) for t, ok in candidates]
    return torch.stack(kept).amin(0)


def _sphere(o: Tensor, d: Tensor, aspect: Tensor) -> Tensor:
    low, high = _root((d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1)
    return _first((low, low == low), (high, high == high))


def _slab(o: Tensor, d: Tensor, half: float) -> tuple[Tensor, Tensor]:
    """Entry and exit distance of |coordinate| <= half, per coordinate."""
    inverse = 1 / torch.where(d.abs() < 1e-9, torch.full_like(d, 1e-9), d)
    a, b = (-half - o) * inverse, (half - o) * inverse
    return torch.minimum(a, b), torch.maximum(a, b)


def _interval(enter: Tensor, leave: Tensor) -> Tensor:
    ok = enter <= leave
    return _first((enter, ok), (leave, ok))


def _cube(o: Tensor, d: Tensor, aspect: Tensor) -> Tensor:
    enter, leave = _slab(o, d, CUBE)
    return _interval(enter.amax(-1), leave.amin(-1))


def _cylinder(o: Tensor, d: Tensor, aspect: Tensor) -> Tensor:
    enter, leave = _slab(o[:, 1], d[:, 1], CYLINDER_HALF)
    ring_o, ring_d = o[:, 0::2], d[:, 0::2]
    low, high = _root(
        (ring_d * ring_d).sum(-1).clamp_min(1e-12),
        (ring_o * ring_d).sum(-1),
        (ring_o * ring_o).sum(-1) - CYLINDER**2,
    )
    return _interval(torch.maximum(enter, low), torch.minimum(leave, high))


def _cone(o: Tensor, d: Tensor, aspect: Tensor) -> Tensor:
    k2 = (CONE / 2) ** 2
    height = 1 - o[:, 1]
    a = d[:, 0] ** 2 + d[:, 2] ** 2 - k2 * d[:, 1] ** 2
    b = o[:, 0] * d[:, 0] + o[:, 2] * d[:, 2] + k2 * height * d[:, 1]
    c = o[:, 0] ** 2 + o[:, 2] ** 2 - k2 * height**2
    low, high = _root(torch.where(a.abs() < 1e-9, torch.full_like(a, 1e-9), a), b, c)
    base = (-1 - o[:, 1]) / torch.where(d[:, 1].abs() < 1e-9, torch.full_like(a, 1e-9), d[:, 1])
    on_base = (o[:, 0] + base * d[:, 0]) ** 2 + (o[:, 2] + base * d[:, 2]) ** 2 <= CONE**2

    def on_side(t: Tensor) -> Tensor:
        y = o[:, 1] + t * d[:, 1]
        return (y >= -1) & (y <= 1)

    return _first((low, on_side(low)), (high, on_side(high)), (base, on_base))


def _torus_distance(p: Tensor) -> Tensor:
    return torch.hypot(torch.hypot(p[:, 0], p[:, 1]) - TORUS, p[:, 2]) - TUBE


def _torus(o: Tensor, d: Tensor, aspect: Tensor) -> Tensor:
    """March along the exact distance field, then polish the root with Newton's method."""
    length = d.norm(dim=-1)
    enter, leave = _root((d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1.0)
    t = enter.nan_to_num(0.0).clamp_min(0.0)
    for _ in range(_MARCH_STEPS):
        t = t + _torus_distance(o + t[:, None] * d) / length
    for _ in range(_NEWTON_STEPS):
        p = o + t[:, None] * d
        slope = (_torus_normal(p, aspect) * d).sum(-1)
        steady = slope < -1e-3 * length
        step = _torus_distance(p) / torch.where(steady, slope, torch.ones_like(slope))
        t = torch.where(steady, t - step, t)
    hit = _torus_distance(o + t[:, None] * d).abs() < 2e-3
    return _first((t, hit & (t <= leave + 1e-3)))


def _capsule(o: Tensor, d: Tensor, aspect: Tensor) -> Tensor:
    ring_o, ring_d = o[:, 0::2], d[:, 0::2]
    low, high = _root(
        (ring_d * ring_d).sum(-1).clamp_min(1e-12),
        (ring_o * ring_d).sum(-1),
        (ring_o * ring_o).sum(-1) - 1,
    )
    candidates = [(t, (o[:, 1] + t * d[:, 1]).abs() <= aspect) for t in (low, high)]
    for end in (aspect, -aspect):
        shifted = torch.stack([o[:, 0], o[:, 1] - end, o[:, 2]], -1)
        for t in _root((d * d).sum(-1), (shifted * d).sum(-1), (shifted * shifted).sum(-1) - 1):
            candidates.append((t, (o[:, 1] + t * d[:, 1]) * end.sign() >= aspect))
    return _first(*candidates)


def _sphere_normal(p: Tensor, aspect: Tensor) -> Tensor:
    return p


def _cube_normal(p: Tensor, aspect: Tensor) -> Tensor:
    axis = p.abs().argmax(-1, keepdim=True)
    return torch.zeros_like(p).scatter(-1, axis, p.gather(-1, axis).sign())


def _on_cap(p: Tensor) -> Tensor:
    return CYLINDER_HALF - p[:, 1].abs() < CYLINDER - torch.hypot(p[:, 0], p[:, 2])


def _cylinder_normal(p: Tensor, aspect: Tensor) -> Tensor:
    cap = _on_cap(p)[:, None]
    side = p * p.new_tensor([1.0, 0.0, 1.0])
    return torch.where(cap, p.sign() * p.new_tensor([0.0, 1.0, 0.0]), side)


def _on_base(p: Tensor) -> Tensor:
    side = (torch.hypot(p[:, 0], p[:, 2]) - CONE / 2 * (1 - p[:, 1])).abs()
    return (p[:, 1] + 1).abs() < side


def _cone_normal(p: Tensor, aspect: Tensor) -> Tensor:
    rho = torch.hypot(p[:, 0], p[:, 2])
    side = torch.stack([p[:, 0], CONE / 2 * rho, p[:, 2]], -1)
    return torch.where(_on_base(p)[:, None], p.new_tensor([0.0, -1.0, 0.0]), side)


def _torus_normal(p: Tensor, aspect: Tensor) -> Tensor:
    ring = torch.hypot(p[:, 0], p[:, 1]).clamp_min(1e-6)
    pull = 1 - TORUS / ring
    normal = torch.stack([p[:, 0] * pull, p[:, 1] * pull, p[:, 2]], -1)
    return normal / normal.norm(dim=-1, keepdim=True).clamp_min(1e-9)


def _capsule_normal(p: Tensor, aspect: Tensor) -> Tensor:
    y = p[:, 1] - torch.maximum(torch.minimum(p[:, 1], aspect), -aspect)
    return torch.stack([p[:, 0], y, p[:, 2]], -1)


def _pair(p: Tensor, first: Tensor | float, second: Tensor | float) -> Tensor:
    zero = torch.zeros_like(p[:, 0])
    return torch.stack([zero + first, zero + second], -1)


def _sphere_curvature(p: Tensor, aspect: Tensor) -> Tensor:
    return _pair(p, 1.0, 1.0)


def _cube_curvature(p: Tensor, aspect: Tensor) -> Tensor:
    return _pair(p, 0.0, 0.0)


def _cylinder_curvature(p: Tensor, aspect: Tensor) -> Tensor:
    return _pair(p, (~_on_cap(p)).to(p.dtype) / CYLINDER, 0.0)


def _cone_curvature(p: Tensor, aspect: Tensor) -> Tensor:
    rho = torch.hypot(p[:, 0], p[:, 2]).clamp_min(1e-3)
    slant = 1 / math.hypot(1, CONE / 2)
    return _pair(p, (~_on_base(p)).to(p.dtype) * slant / rho, 0.0)


def _torus_curvature(p: Tensor, aspect: Tensor) -> Tensor:
    ring = torch.hypot(p[:, 0], p[:, 1]).clamp_min(1e-6)
    return _pair(p, 1 / TUBE, (ring - TORUS) / TUBE / ring)


def _capsule_curvature(p: Tensor, aspect: Tensor) -> Tensor:
    return _pair(p, 1.0, (p[:, 1].abs() > aspect).to(p.dtype))


class Solid(NamedTuple):
    """What the ray caster needs to know of one kind of solid.

    Attributes:
        intersect: (o, d, aspect) -> nearest positive distance (N,), inf for a miss.
        normal: (point, aspect) -> outward normal (N, 3), not normalised.
        curvature: (point, aspect) -> principal curvatures (N, 2), larger magnitude first,
            positive where the solid is convex, in 1 / unit length.
        bound: radius of a sphere around the origin that holds the solid (aspect is added to it
            for the capsule).
        rest: height of the centre above the ground when it stands (aspect added likewise).
    """

    intersect: Callable[[Tensor, Tensor, Tensor], Tensor]
    normal: Callable[[Tensor, Tensor], Tensor]
    curvature: Callable[[Tensor, Tensor], Tensor]
    bound: float
    rest: float


SOLIDS: tuple[Solid, ...] = (
    Solid(_sphere, _sphere_normal, _sphere_curvature, 1.0, 1.0),
    Solid(_cube, _cube_normal, _cube_curvature, CUBE * math.sqrt(3), CUBE),
    Solid(
        _cylinder,
        _cylinder_normal,
        _cylinder_curvature,
        math.hypot(CYLINDER, CYLINDER_HALF),
        CYLINDER_HALF,
    ),
    Solid(_cone, _cone_normal, _cone_curvature, math.hypot(CONE, 1.0), 1.0),
    Solid(_torus, _torus_normal, _torus_curvature, TORUS + TUBE, TORUS + TUBE),
    Solid(_capsule, _capsule_normal, _capsule_curvature, 1.0, 1.0),
)
"""The solids in the order of `SHAPES`."""
