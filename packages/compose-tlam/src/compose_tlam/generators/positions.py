"""Where a pixel is in its tile, as cosines and sines."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["positions"]


def positions(tile: int) -> Tensor:
    """Codes (S^2, 4 log2 S) of the pixels of a tile, row by row.

    For x and y: cosine and sine of periods S, S / 2, ..., 2 pixels.
    """
    place = torch.arange(tile, dtype=torch.float32)
    waves = [tile / 2**n for n in range(round(math.log2(tile)))]
    y, x = torch.meshgrid(place, place, indexing="ij")
    found = [
        function(2 * math.pi * axis / period)
        for period in waves
        for axis in (x, y)
        for function in (torch.cos, torch.sin)
    ]
    return torch.stack(found, -1).view(tile**2, -1) if found else torch.zeros(tile**2, 0)
