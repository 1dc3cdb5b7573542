"""Labels that follow from pictures or from other labels: edges, normals, curvature."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ShapeError

__all__ = ["back_projected", "clay_edges", "curvatures", "texture_edges"]

_LUMINANCE = (0.299, 0.587, 0.114)
_SKY = 0.9
"""Brightness of the sky around clay: that of surfaces facing the light, or above."""


def texture_edges(pictures: Tensor) -> Tensor:
    """Strength of edges (B, 1, H, W) in [0, 1] of pictures (B, 3, H, W) in [0, 1].

    The Sobel magnitude of the luminance, 1 for a step from black to white.
    """
    if pictures.dim() != 4 or pictures.shape[1] != 3:
        raise ShapeError("these are no pictures", got=tuple(pictures.shape), expected="(B,3,H,W)")
    weight = pictures.new_tensor(_LUMINANCE)[:, None, None]
    return sobel((pictures * weight).sum(1, keepdim=True))


def sobel(gray: Tensor) -> Tensor:
    """Magnitude (B, 1, H, W), at most 1, of the gradient of grey pictures."""
    kernel = gray.new_tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 4
    wide = F.pad(gray, (1, 1, 1, 1), mode="replicate")
    across = F.conv2d(wide, kernel[None, None])
    down = F.conv2d(wide, kernel.t().contiguous()[None, None])
    return torch.hypot(across, down).clamp_max(1)


def clay_edges(normals: Tensor, valid: Tensor) -> Tensor:
    """Edges that a scene without texture would show: (B, 1, H, W) in [0, 1].

    Surfaces are shaded as matt clay under a light above the left shoulder of the camera.

    Args:
        normals: (B, 3, H, W) unit normals: x right, y up, z towards the camera.
        valid: (B, H, W) bool; elsewhere is sky.
    """
    light = F.normalize(normals.new_tensor([-0.45, 0.75, 0.5]), dim=0)
    shade = 0.25 + 0.6 * (normals * light[:, None, None]).sum(1, keepdim=True).clamp_min(0)
    return sobel(torch.where(valid[:, None], shade, torch.full_like(shade, _SKY)))


def back_projected(depth: Tensor, valid: Tensor, focal: tuple[float, float]) -> Tensor:
    """Normals (B, 3, H, W) of the surface through back-projected pixels.

    Central differences of the 3-D points; x right, y up, z towards the camera. A pixel beside a
    missing one, or at the edge, takes the difference that it has.

    Args:
        depth: (B, 1, H, W) along the optical axis, in metres.
        valid: (B, H, W) bool.
        focal: (fx, fy) in pixels.

    Returns:
        Unit normals, zero where they cannot be told.
    """
    height, width = depth.shape[-2:]
    x = (torch.arange(width, device=depth.device) + 0.5 - width / 2) / focal[0]
    y = (torch.arange(height, device=depth.device) + 0.5 - height / 2) / focal[1]
    z = torch.where(valid[:, None], depth, torch.zeros_like(depth))
    points = torch.cat([z * x, -z * y[:, None], -z], 1)
    across, has_across = _slope(points, valid, 3)
    down, has_down = _slope(points, valid, 2)
    # Columns go right and rows go down: down x across points towards the camera.
    normal = F.normalize(torch.linalg.cross(down, across, dim=1), dim=1)
    return normal * (has_across & has_down & valid)[:, None]


def _slope(points: Tensor, valid: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Difference of neighbours along an axis of (B, 3, H, W), and where there is one."""
    after, has_after = _next(points, valid, axis, 1)
    before, has_before = _next(points, valid, axis, -1)
    upper = torch.where(has_after[:, None], after, points)
    lower = torch.where(has_before[:, None], before, points)
    return upper - lower, has_after | has_before


def _next(points: Tensor, valid: Tensor, axis: int, step: int) -> tuple[Tensor, Tensor]:
    shifted, there = points.roll(-step, axis), valid.roll(-step, axis - 1).clone()
    there.select(axis - 1, -1 if step > 0 else 0).fill_(False)
    return shifted, there


def curvatures(
    normals: Tensor, depth: Tensor, valid: Tensor, focal: tuple[float, float]
) -> Tensor:
    """Principal curvatures (B, 2, H, W) in 1 / metre, the larger magnitude first, convex positive.

    Eigenvalues of the change of the normal over the change of place, both in the two directions
    of the picture; an estimate for data sets without curvature.

    Args:
        normals: (B, 3, H, W).
        depth: (B, 1, H, W) in metres.
        valid: (B, H, W) bool.
        focal: (fx, fy) in pixels.
    """
    along, _ = _slope(normals, valid, 3)
    down, _ = _slope(normals, valid, 2)
    # Central differences span two pixels, each z / f metres wide.
    wide = 2 * depth / focal[0]
    high = 2 * depth / focal[1]
    a, b = along[:, :1] / wide, along[:, 1:2] / wide
    c, d = down[:, :1] / high, -down[:, 1:2] / high
    middle, split = (a + d) / 2, (((a - d) / 2) ** 2 - b * c).clamp_min(0).sqrt()
    first, second = middle + split, middle - split
    swap = second.abs() > first.abs()
    found = torch.cat([torch.where(swap, second, first), torch.where(swap, first, second)], 1)
    return torch.where(valid[:, None], found, torch.zeros_like(found)).nan_to_num(0, 0, 0)
