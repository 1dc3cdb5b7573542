"""Toys as pixels: shaded, with a soft shadow, by sixteen samples a pixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_worlds.positions.scene import COLORS, SHAPES, Toys

SIZE = 32
"""Pixels of the pictures that tiny models are trained on."""

_FINE = 4
_SHADOW = (0.035, 0.045)
"""Where a shadow falls from its toy, in shares of the picture; the light comes from upper left."""


def _distance(x: Tensor, y: Tensor, shape: Tensor) -> Tensor:
    """Distance from the middle in radii: 1 on the outline."""
    ball = (x * x + y * y).sqrt()
    cube = torch.maximum(x.abs(), y.abs()) / 0.86
    return torch.where(shape == SHAPES.index("cube"), cube, ball)


def picture(toys: Toys, size: int = SIZE) -> Tensor:
    """Pictures (B, 3, size, size), float32 in [0, 1]; of toys that overlap the later is on top."""
    fine = size * _FINE
    axis = (torch.arange(fine) + 0.5) / fine
    x, y = axis[None, :], axis[:, None]
    batch, slots = toys.color.shape
    image = toys.table.view(-1, 1, 1, 1) * (1.05 - 0.15 * y) * torch.ones(batch, 3, fine, fine)
    there = (toys.positions.amin(-1) >= 0).view(batch, slots, 1, 1)
    radius = toys.size.view(batch, slots, 1, 1)
    u = (x - toys.positions[..., 0].view(batch, slots, 1, 1)) / radius
    v = (y - toys.positions[..., 1].view(batch, slots, 1, 1)) / radius
    shape = toys.shape.view(batch, slots, 1, 1)
    fall = _distance(u - _SHADOW[0] / radius, v - _SHADOW[1] / radius, shape)
    dark = (0.4 * (1.25 - fall).clamp(0, 0.5) / 0.5 * there).amax(1, keepdim=True)
    image = image * (1 - dark)
    table = torch.tensor(COLORS)
    for slot in range(slots):
        d = _distance(u[:, slot], v[:, slot], shape[:, slot])
        inside = ((d < 1) & there[:, slot])[:, None]
        light = _light(u[:, slot], v[:, slot], d, shape[:, slot])[:, None]
        color = table[toys.color[:, slot]].view(batch, 3, 1, 1)
        lit = color * light + 0.5 * (light - 1.05).clamp_min(0)
        image = torch.where(inside, lit, image)
    return F.avg_pool2d(image.clamp(0, 1), _FINE)


def _light(u: Tensor, v: Tensor, d: Tensor, shape: Tensor) -> Tensor:
    """Brightness of a toy's surface: balls are round, cubes have a bright top, cylinders a rim."""
    height = (1 - u * u - v * v).clamp_min(0).sqrt()
    ball = 0.45 + 0.85 * (0.62 * height - 0.52 * u - 0.58 * v).clamp_min(0)
    cube = torch.where(torch.maximum(u.abs(), v.abs()) < 0.6, 1.15, 0.8)
    cylinder = torch.where(d < 0.68, 1.1, 0.68 - 0.12 * (u + v))
    known = torch.where(shape == SHAPES.index("cube"), cube, cylinder)
    return torch.where(shape == SHAPES.index("ball"), ball, known)
