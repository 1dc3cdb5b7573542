"""Where toys stand in a picture: plain arithmetic, no network.

The table is grey and toys are not. Saturation is spread over the area of a toy; its peaks are
centres.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ShapeError
from compose_worlds.positions.scene import APART, RADIUS

LEAST = 0.22
"""Least mean saturation of a toy; those drawn have 0.35 or more."""


def find(picture: Tensor) -> Tensor:
    """Centres (M, 2) of the toys of one picture (3, H, W) in [0, 1], as x, y, brightest first.

    Raises:
        ShapeError: Not one picture, or values that are no numbers.
    """
    if picture.dim() != 3 or picture.shape[0] != 3 or not picture.is_floating_point():
        raise ShapeError(
            "not one picture",
            got=f"{picture.dtype} {tuple(picture.shape)}",
            expected="float (3, H, W)",
        )
    if not bool(picture.isfinite().all()):
        raise ShapeError("the picture holds values that are no numbers", got="NaN or infinity")
    height, width = picture.shape[1:]
    saturation = picture.amax(0) - picture.amin(0)
    kernel = _disc(RADIUS * width)
    side = kernel.shape[-1] // 2
    heat = F.conv2d(saturation[None, None], kernel[None, None], padding=side)
    around = max(1, round(0.9 * RADIUS * width))
    highest = F.max_pool2d(heat, 2 * around + 1, 1, around)
    rows, columns = ((heat == highest) & (heat > LEAST))[0, 0].nonzero(as_tuple=True)
    order = heat[0, 0, rows, columns].argsort(descending=True, stable=True)
    centres: list[tuple[float, float]] = []
    for i in order:
        x, y = _centroid(saturation, int(rows[i]), int(columns[i]), around)
        here = ((x + 0.5) / width, (y + 0.5) / height)
        # Edges of one toy may make two peaks; no two toys stand so close.
        if all(math.dist(here, other) > APART / 2 for other in centres):
            centres.append(here)
    return torch.tensor(centres).reshape(-1, 2)


def _disc(radius: float) -> Tensor:
    side = int(radius) + 1
    axis = torch.arange(-side, side + 1).float()
    inside = (radius + 0.5 - (axis[:, None] ** 2 + axis**2).sqrt()).clamp(0, 1)
    return inside / inside.sum()


def _centroid(saturation: Tensor, row: int, column: int, reach: int) -> tuple[float, float]:
    """Mean place of the saturation around a peak, as column and row."""
    top, left = max(0, row - reach), max(0, column - reach)
    part = saturation[top : row + reach + 1, left : column + reach + 1]
    total = part.sum().clamp_min(1e-6)
    rows = torch.arange(part.shape[0]).float()[:, None]
    columns = torch.arange(part.shape[1]).float()
    return (
        left + float((part * columns).sum() / total),
        top + float((part * rows).sum() / total),
    )
