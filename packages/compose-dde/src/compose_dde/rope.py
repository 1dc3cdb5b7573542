r"""Rotary position embedding on any number of axes.

Su et al. 2021 (arXiv 2104.09864), Eq. 14: pair `k` of a query or key at position `m` is turned by
:math:`m \theta_k`, :math:`\theta_k = 10000^{-2k/d}`, so that attention depends on relative
positions only. On several axes the dimensions of a head are shared between them (appendix B.3.4 of
the paper): the first half is turned by the row, the second by the column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from compose_core.errors import UsageError

__all__ = ["angles", "turn"]

BASE = 10_000.0


def angles(
    positions: Tensor, head_dim: int, period: Sequence[float | None] | None = None
) -> Tensor:
    """By how much each pair is turned.

    Args:
        positions: `(..., axes)`, in tokens, any real numbers.
        head_dim: Dimensions of a head.
        period: For each axis its length if it is closed: the frequencies are then rounded to
            whole turns around it, so that first and last are neighbours.

    Returns:
        `(..., head_dim / 2)` in float64.

    Raises:
        UsageError: The head cannot be shared evenly by the axes.
    """
    axes = positions.shape[-1]
    if head_dim % (2 * axes):
        raise UsageError(
            "a head cannot be shared by the axes",
            got=f"{head_dim} dimensions for {axes} axes",
            expected=f"a multiple of {2 * axes}",
        )
    pairs = head_dim // (2 * axes)
    theta = BASE ** (-torch.arange(pairs, dtype=torch.float64) / pairs)
    found: list[Tensor] = []
    for axis in range(axes):
        length = None if period is None else period[axis]
        turns = theta if length is None else _whole_turns(theta, length)
        found.append(positions[..., axis : axis + 1].double() * turns.to(positions.device))
    return torch.cat(found, -1)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs `(2k, 2k + 1)` of `x` `(..., d)` by angles `(..., d / 2)`."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def _whole_turns(theta: Tensor, length: float) -> Tensor:
    unit = 2 * math.pi / length
    return (theta / unit).round() * unit
