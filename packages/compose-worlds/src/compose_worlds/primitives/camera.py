"""The pinhole camera: rays of a picture, and where points of the world land in it."""

from __future__ import annotations

import torch
from torch import Tensor

from compose_worlds.primitives.world import World


def rays(world: World, size: tuple[int, int], offset: tuple[float, float] = (0, 0)) -> Tensor:
    """Directions through the pixels of a picture.

    The third component in the camera's frame is 1, so a distance along the ray *is* the depth.

    Args:
        world: B scenes.
        size: width, height in pixels.
        offset: shift from the pixel's centre in pixels.

    Returns:
        (B, H * W, 3) in the world's frame.
    """
    width, height = size
    slope = torch.tan(world.camera[:, 2] / 2)[:, None]
    x = (torch.arange(width, dtype=slope.dtype) + 0.5 + offset[0]) / width * 2 - 1
    y = 1 - (torch.arange(height, dtype=slope.dtype) + 0.5 + offset[1]) / height * 2
    v, u = torch.meshgrid(y, x * (width / height), indexing="ij")
    u, v = (a.flatten().to(slope) * slope for a in (u, v))
    c, s = torch.cos(world.camera[:, 1])[:, None], torch.sin(world.camera[:, 1])[:, None]
    return torch.stack([u, v * c - s, v * s + c], -1)


def origin(world: World) -> Tensor:
    """Where the cameras stand: (B, 1, 3) in metres."""
    zero = torch.zeros_like(world.camera[:, 0])
    return torch.stack([zero, world.camera[:, 0], zero], -1)[:, None]


def to_camera(world: World, vector: Tensor) -> Tensor:
    """Turn directions (B, P, 3) into the camera's frame: x right, y up, z towards the camera."""
    c, s = torch.cos(world.camera[:, 1])[:, None], torch.sin(world.camera[:, 1])[:, None]
    x, y, z = vector.unbind(-1)
    return torch.stack([x, y * c + z * s, -(z * c - y * s)], -1)


def project(world: World, point: Tensor, aspect: float = 1.0) -> tuple[Tensor, Tensor]:
    """Where points of the world are seen.

    Args:
        world: B scenes.
        point: (B, N, 3) in metres.
        aspect: width over height of the picture.

    Returns:
        (B, N, 2) as fractions of the picture (x to the right, y down; outside [0, 1] when out of
        the picture) and (B, N) depth in metres (negative behind the camera).
    """
    seen = to_camera(world, point - origin(world))
    depth = -seen[..., 2]
    slope = torch.tan(world.camera[:, 2] / 2)[:, None]
    ahead = torch.where(depth.abs() < 1e-6, torch.full_like(depth, 1e-6), depth)
    x = 0.5 + seen[..., 0] / ahead / slope / aspect / 2
    y = 0.5 - seen[..., 1] / ahead / slope / 2
    return torch.stack([x, y], -1), depth
