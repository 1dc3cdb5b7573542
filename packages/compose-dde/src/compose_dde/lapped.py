r"""An orthonormal lapped transform of a sound: what happens when, at which frequency.

Modulated lapped transform (Malvar 1990; the MDCT of audio codecs with a sine window): neighbouring
blocks are turned into each other where they meet, then each block takes a DCT-IV. At the two ends
of a sound nothing overlaps. It is a rotation of the space of sounds: white noise stays white
noise, and squared errors stay what they were. A note, spread over all samples, lies in a few
numbers.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from compose_core.errors import ShapeError

__all__ = ["lapped", "unlapped"]


def lapped(x: Tensor, block: int) -> Tensor:
    """Frames of a sound: `(..., T)` to `(..., T / block, block)`, frequencies rising.

    Bin `k` of `block` is at `(k + 1/2) / (2 block)` of the sample rate.

    Args:
        x: Samples.
        block: Samples from one frame to the next, even.

    Raises:
        ShapeError: The sound is no whole number of blocks, or a block is odd.
    """
    if block < 2 or block % 2 or x.shape[-1] % block:
        raise ShapeError(
            "a sound is no whole number of blocks",
            got=f"{x.shape[-1]} samples, blocks of {block}",
            expected="an even block, and a multiple of it",
        )
    with _in_full(x):
        return _turned(x.unflatten(-1, (-1, block)), 1.0) @ _cosines(block).to(x)


def unlapped(frames: Tensor) -> Tensor:
    """The inverse, which is the transpose: `(..., F, block)` to `(..., F block)`."""
    with _in_full(frames):
        return _turned(frames @ _cosines(frames.shape[-1]).to(frames), -1.0).flatten(-2)


def _in_full(x: Tensor) -> AbstractContextManager[Any]:
    """A rotation loses nothing but bits: under mixed precision it keeps those it is given."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def _turned(blocks: Tensor, sign: float) -> Tensor:
    """Rotate samples at equal distances from a border between blocks into each other."""
    half = blocks.shape[-1] // 2
    place = math.pi / 4 * (1 + (torch.arange(half, dtype=torch.float64) + 0.5) / half)
    cos, sin = place.sin().to(blocks), sign * place.cos().to(blocks)
    before, after = blocks[..., :-1, half:].flip(-1), blocks[..., 1:, :half]
    # A DCT-IV goes on evenly at its left end and oddly at its right one.
    rights = torch.cat([(cos * before - sin * after).flip(-1), blocks[..., -1:, half:]], -2)
    lefts = torch.cat([blocks[..., :1, :half], cos * after + sin * before], -2)
    return torch.cat([lefts, rights], -1)


def _cosines(block: int) -> Tensor:
    """The DCT-IV `(block, block)` in float64: symmetric, and its own inverse."""
    at = torch.arange(block, dtype=torch.float64) + 0.5
    return math.sqrt(2 / block) * torch.cos(math.pi / block * at[:, None] * at)
