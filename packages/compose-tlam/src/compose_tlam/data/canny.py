"""Canny's edges (Canny 1986): smooth, differentiate, thin, and follow from strong to weak."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["canny"]

_BELL = (0.06136, 0.24477, 0.38774, 0.24477, 0.06136)
"""A Gaussian of deviation 1 over five pixels."""


def canny(pictures: Tensor, low: float = 0.04, high: float = 0.1) -> Tensor:
    """Edges (B, H, W) bool of pictures (B, 3, H, W) in [0, 1].

    Args:
        pictures: Colours.
        low: Edges go on where the gradient exceeds this, in luminance per pixel,
        high: from a place where it exceeds this.
    """
    gray = (pictures * pictures.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, True)
    bell = gray.new_tensor(_BELL)
    gray = _filtered(_filtered(gray, bell.view(1, -1)), bell.view(-1, 1))
    slope = gray.new_tensor([-0.5, 0.0, 0.5])
    across, down = _filtered(gray, slope.view(1, -1)), _filtered(gray, slope.view(-1, 1))
    strength = torch.hypot(across, down)
    thin = strength * _crest(strength, across, down)
    found, weak = thin > high, thin > low
    while True:
        grown = weak & (F.max_pool2d(found.float(), 3, 1, 1) > 0) | found
        if torch.equal(grown, found):
            return found[:, 0]
        found = grown


def _crest(strength: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Where the gradient is greatest along itself, compared one pixel ahead and behind."""
    batch, _, height, width = strength.shape
    length = strength.clamp_min(1e-8)
    step = torch.cat([across / length / width, down / length / height], 1).permute(0, 2, 3, 1) * 2
    base = F.affine_grid(
        torch.eye(2, 3, dtype=strength.dtype, device=strength.device).expand(batch, 2, 3),
        [batch, 1, height, width],
        align_corners=False,
    )
    ahead, behind = (
        F.grid_sample(strength, base + sign * step, padding_mode="border", align_corners=False)
        for sign in (1, -1)
    )
    return (strength >= ahead) & (strength > behind)


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    rows, columns = (side // 2 for side in kernel.shape)
    return F.conv2d(F.pad(x, (columns, columns, rows, rows), mode="replicate"), kernel[None, None])
