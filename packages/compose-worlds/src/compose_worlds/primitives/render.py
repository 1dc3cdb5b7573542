"""From worlds to pictures with every dense label, exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_worlds.primitives import camera
from compose_worlds.primitives.cast import cast, surface_at
from compose_worlds.primitives.environments import ENVIRONMENTS, sky, surface
from compose_worlds.primitives.world import SEMANTICS, World

_SUBSAMPLES = {1: ((0.0, 0.0),), 4: ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))}
_LIGHT_DISC = ((0.055, 0.02), (-0.02, 0.055), (0.02, -0.055), (-0.055, -0.02))
_LIFT = 2e-3


@dataclass(frozen=True)
class Hits:
    """What B x P rays met.

    Attributes:
        t: (B, P) distance to the nearest surface, inf in the sky.
        winner: (B, P) number of the solid met, -1 for none.
        solids: (B, K, P) distance to every solid, inf for a miss.
        background: (B, P) distance to ground or wall, inf in the sky.
        on_wall: (B, P) whether the background is the wall.
        point, normal: (B, P, 3) where and which way, world frame.
        curvature: (B, P, 2) principal curvatures in 1 / metre.
    """

    t: Tensor
    winner: Tensor
    solids: Tensor
    background: Tensor
    on_wall: Tensor
    point: Tensor
    normal: Tensor
    curvature: Tensor


def _background(world: World, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    inf = torch.full_like(direction[..., 0], math.inf)
    down = direction[..., 1] < -1e-6
    t_ground = torch.where(down, -origin[..., 1] / direction[..., 1].clamp_max(-1e-6), inf)
    distance = torch.tensor([e.wall for e in ENVIRONMENTS.values()]).to(direction)
    wall = distance[world.environment][:, None]
    t_wall = torch.where(direction[..., 2] > 1e-6, wall / direction[..., 2].clamp_min(1e-6), inf)
    return torch.minimum(t_ground, t_wall), t_wall < t_ground


def meet(world: World, origin: Tensor, direction: Tensor) -> Hits:
    """Follow rays to the first surface: origin (B, 1, 3), direction (B, P, 3)."""
    solids = cast(world, origin, direction)
    nearest, winner = solids.min(1)
    background, on_wall = _background(world, origin, direction)
    hit = nearest < background
    t = torch.where(hit, nearest, background)
    winner = torch.where(hit, winner, torch.full_like(winner, -1))
    point = origin + torch.where(t.isinf(), torch.zeros_like(t), t)[..., None] * direction
    normal, curvature = surface_at(world, point, winner)
    up, out = normal.new_tensor([0.0, 1.0, 0.0]), normal.new_tensor([0.0, 0.0, -1.0])
    plane = torch.where(on_wall[..., None], out, up)
    plane = torch.where(t.isinf()[..., None], torch.zeros_like(plane), plane)
    normal = torch.where(hit[..., None], normal, plane)
    return Hits(t, winner, solids, background, on_wall, point, normal, curvature)


def _occlusion(world: World, hits: Hits) -> Tensor:
    """Darkening near solids, 0..1: sum over solids of cos * (r / d)^2, the form factor."""
    towards = world.position[:, :, None] - hits.point[:, None]
    distance2 = (towards * towards).sum(-1).clamp_min(1e-4)
    cosine = (towards * hits.normal[:, None]).sum(-1) / distance2.sqrt()
    factor = cosine.clamp_min(0) * (0.75 * world.size[:, :, None]) ** 2 / distance2
    number = torch.arange(world.shape.shape[1], device=factor.device)[None, :, None]
    other = (number != hits.winner[:, None]) & (world.shape >= 0)[:, :, None]
    return (factor.clamp_max(1) * other).sum(1).clamp_max(1)


def _lit(world: World, hits: Hits, light: Tensor) -> Tensor:
    """Which points see the light: (B, P) bool; `light` (B, 3) points towards it."""
    start = hits.point + _LIFT * hits.normal
    blocked = (cast(world, start, light[:, None]) < math.inf).any(1)
    return ~blocked


def _paint(world: World, hits: Hits, direction: Tensor, lit: Tensor, light: Tensor) -> Tensor:
    """Colour of what the rays met: (B, P, 3)."""
    rgb = torch.zeros_like(direction)
    unit = direction / direction.norm(dim=-1, keepdim=True)
    shadow = 1 - 0.72 * _occlusion(world, hits)
    for number, place in enumerate(ENVIRONMENTS.values()):
        (b,) = (world.environment == number).nonzero(as_tuple=True)
        if b.numel() == 0:
            continue
        rays, n = unit[b].flatten(0, 1), hits.normal[b].flatten(0, 1)
        point, t = hits.point[b].flatten(0, 1), hits.t[b].flatten()
        winner = hits.winner[b]
        per_ray = direction.shape[1]
        albedo = surface(
            place, point, hits.on_wall[b].flatten(), world.phase[b].repeat_interleave(per_ray)
        )
        index = winner.clamp_min(0)
        solid = world.color[b].gather(1, index[..., None].expand(-1, -1, 3)).flatten(0, 1)
        is_solid = (winner >= 0).flatten()[:, None]
        albedo = torch.where(is_solid, solid, albedo)
        toward = light[b].repeat_interleave(per_ray, 0)
        sees = lit[b].flatten()[:, None].to(rgb)
        facing = (n * toward).sum(-1, keepdim=True).clamp_min(0)
        half = 0.5 + 0.5 * n[:, 1:2]
        ambient = rgb.new_tensor(place.ambient) * half + rgb.new_tensor(place.bounce) * (1 - half)
        sun = rgb.new_tensor(place.sun)
        color = albedo * (ambient * shadow[b].flatten()[:, None] + sun * facing * sees)
        mirror = rays - 2 * (rays * n).sum(-1, keepdim=True) * n
        shine = (mirror * toward).sum(-1, keepdim=True).clamp_min(0) ** 24
        gloss = world.gloss[b].gather(1, index).flatten()[:, None] * is_solid
        color = color + gloss * shine * sees * sun
        # A faint reflection of the sky at grazing angles keeps dark solids readable.
        graze = (1 + (rays * n).sum(-1, keepdim=True)).clamp(0, 1) ** 3
        color = color + is_solid * 0.16 * graze * half * rgb.new_tensor(place.horizon)
        above = sky(place, rays[:, 1])
        air = torch.exp(-((t / place.haze) ** 2))[:, None]
        color = color * air + rgb.new_tensor(place.horizon) * (1 - air)
        color = torch.where(t.isinf()[:, None], above, color)
        rgb[b] = color.clamp(0, 1).unflatten(0, (-1, per_ray))
    return rgb


def picture(
    world: World, size: tuple[int, int] = (64, 64), *, samples: int = 4, shadows: bool = True
) -> Tensor:
    """Render pictures only.

    Args:
        world: B scenes.
        size: width, height in pixels.
        samples: rays per pixel, 1 or 4.
        shadows: soft with 4 samples, each of which sees its own point of the light.

    Returns:
        (B, 3, H, W) in [0, 1].

    Raises:
        UsageError: a number of samples that is not offered.
    """
    if samples not in _SUBSAMPLES:
        raise UsageError("wrong number of samples per pixel", got=samples, expected="1 or 4")
    eye = camera.origin(world)
    total = torch.zeros(())
    for offset, shift in zip(_SUBSAMPLES[samples], _LIGHT_DISC, strict=False):
        direction = camera.rays(world, size, offset)
        hits = meet(world, eye, direction)
        spread = shift if samples > 1 else (0.0, 0.0)
        light = world.light + world.light.new_tensor([spread[0], 0.0, spread[1]])
        light = light / light.norm(dim=-1, keepdim=True)
        lit = _lit(world, hits, light) if shadows else torch.ones_like(hits.t, dtype=torch.bool)
        total = total + _paint(world, hits, direction, lit, light)
    rgb = total / samples
    return rgb.unflatten(1, (size[1], size[0])).permute(0, 3, 1, 2).contiguous()


__all__ = ["SEMANTICS", "Hits", "meet", "picture"]
