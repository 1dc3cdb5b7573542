"""Casting rays at batches of solids: nearest distances, then exact normals and curvature.

Rays are tested against bounding spheres first; only the few that pass reach a solid's own
routine, all solids of one shape of the whole batch in one call.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from compose_worlds.primitives.solids import SHAPES, SOLIDS
from compose_worlds.primitives.world import World


def _chosen(world: World, number: int) -> tuple[Tensor, Tensor]:
    pairs = (world.shape == number).nonzero()
    return pairs[:, 0], pairs[:, 1]


def _bound(world: World, number: int, b: Tensor, k: Tensor) -> Tensor:
    extra = world.aspect[b, k] if SHAPES[number] == "capsule" else 0.0
    return (SOLIDS[number].bound + extra) * world.size[b, k] * (1 + 1e-5)


def cast(world: World, origin: Tensor, direction: Tensor) -> Tensor:
    """Distance along every ray to every solid.

    Args:
        world: B scenes of K solids.
        origin: (B, P, 3) or (B, 1, 3), metres.
        direction: (B, P, 3) or (B, 1, 3); distances are multiples of its length.

    Returns:
        (B, K, P), inf where the ray misses or the solid is absent.
    """
    rays = max(origin.shape[1], direction.shape[1])
    batch, count = world.shape.shape
    out = origin.new_full((batch, count, rays), math.inf)
    for number, solid in enumerate(SOLIDS):
        b, k = _chosen(world, number)
        if b.numel() == 0:
            continue
        o = origin[b] - world.position[b, k][:, None]
        d = direction[b]
        along = (o * d).sum(-1)
        length2 = (d * d).sum(-1)
        bound = _bound(world, number, b, k)[:, None]
        near = (o * o).sum(-1) - along**2 / length2 <= bound**2
        pair, ray = near.expand(-1, rays).nonzero(as_tuple=True)
        if pair.numel() == 0:
            continue
        frame = (world.rotation[b, k] / world.size[b, k][:, None, None])[pair]
        o = o[pair, ray if o.shape[1] > 1 else 0]
        d = d[pair, ray if d.shape[1] > 1 else 0]
        local_o, local_d = (torch.einsum("ni,nij->nj", v, frame) for v in (o, d))
        t = solid.intersect(local_o, local_d, world.aspect[b, k][pair])
        out[b[pair], k[pair], ray] = t
    return out


def surface_at(world: World, point: Tensor, winner: Tensor) -> tuple[Tensor, Tensor]:
    """Exact outward normal and principal curvatures where rays ended.

    Args:
        world: B scenes of K solids.
        point: (B, P, 3) points on solids, metres.
        winner: (B, P) number of the solid that the point lies on, -1 for none.

    Returns:
        Unit normals (B, P, 3) in the world's frame and curvatures (B, P, 2) in 1 / metre; zero
        where there is no solid.
    """
    normal = torch.zeros_like(point)
    curvature = point.new_zeros(*point.shape[:2], 2)
    kind = world.shape.gather(1, winner.clamp_min(0))
    kind = torch.where(winner >= 0, kind, torch.full_like(kind, -1))
    for number, solid in enumerate(SOLIDS):
        b, p = (kind == number).nonzero(as_tuple=True)
        if b.numel() == 0:
            continue
        k = winner[b, p]
        size, rotation = world.size[b, k], world.rotation[b, k]
        aspect = world.aspect[b, k]
        local = torch.einsum("ni,nij->nj", point[b, p] - world.position[b, k], rotation)
        local = local / size[:, None]
        n = torch.einsum("nj,nij->ni", solid.normal(local, aspect), rotation)
        normal[b, p] = n / n.norm(dim=-1, keepdim=True).clamp_min(1e-9)
        curvature[b, p] = solid.curvature(local, aspect) / size[:, None]
    return normal, curvature
