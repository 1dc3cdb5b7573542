"""Random fields on the whole plane: a value depends on its place alone, so every crop agrees.

A lattice point's value is a hash of its coordinates; between lattice points values are
interpolated. Only additions, multiplications and integer operations are used: the same bits
however the plane is cut.
"""

from __future__ import annotations

import torch
from torch import Tensor

_A, _B, _C = 0x27D4EB2F165667C5, 0x165667B19E3779F9, 0x2545F4914F6CDD1D
_MASK = (1 << 31) - 1


def _signed(value: int) -> int:
    """A 64-bit pattern as the signed number that torch holds."""
    return value - (1 << 64) if value >= 1 << 63 else value


def cells(seed: int, salt: int, y: Tensor, x: Tensor) -> Tensor:
    """Numbers in [0, 1), float32, at integer coordinates; integer overflow wraps around."""
    state = y.long() * _signed(_A) + x.long() * _signed(_B) + _signed((seed * 31 + salt) % 2**63)
    for _ in range(2):
        state = (state ^ ((state >> 29) & ((1 << 35) - 1))) * _signed(_C)
        state = state ^ ((state >> 32) & _MASK)
    return (state & 0xFFFFFF).float() / float(1 << 24)


def smooth(seed: int, salt: int, y: Tensor, x: Tensor, scale: float) -> Tensor:
    """Value noise of the wavelength ``scale``: (H, 1) and (1, W) places to (H, W) in [0, 1)."""
    v, u = y.float() / scale, x.float() / scale
    row, column = v.floor(), u.floor()
    b, a = v - row, u - column
    b, a = b * b * (3 - 2 * b), a * a * (3 - 2 * a)
    row, column = row.long(), column.long()
    corners = [
        cells(seed, salt, row + down, column + right) for down in (0, 1) for right in (0, 1)
    ]
    top = corners[0] + a * (corners[1] - corners[0])
    bottom = corners[2] + a * (corners[3] - corners[2])
    return top + b * (bottom - top)


def fractal(seed: int, salt: int, y: Tensor, x: Tensor, scale: float, octaves: int) -> Tensor:
    """A sum of `smooth` fields, each of half the wavelength and half the height, in [0, 1)."""
    total = torch.zeros(y.shape[0], x.shape[1])
    weight, left = 0.5, 1.0
    for octave in range(octaves):
        share = left if octave == octaves - 1 else weight
        total = total + share * smooth(seed, salt + 101 * octave, y, x, scale / 2**octave)
        left, weight = left - weight, weight / 2
    return total


def grid(top: int, left: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Coordinates (H, 1) and (1, W) of a crop."""
    y = torch.arange(top, top + height)[:, None]
    return y, torch.arange(left, left + width)[None]
