"""Canny's edges (Canny 1986) of batches of pictures."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LOW, HIGH = 0.04, 0.1
"""Thresholds on the gradient's magnitude, in luminance per pixel."""
_SIGMA, _ROOM = 0.8, 0.5
_STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))
"""Where the neighbours across an edge lie (down, right), for gradients at 0, 45, 90 and 135."""


def canny(pictures: Tensor, low: float = LOW, high: float = HIGH) -> Tensor:
    """Edges of pictures.

    Args:
        pictures: (B, 3, H, W) in [0, 1].
        low: An edge goes on while the gradient is above this,
        high: if it is above this somewhere.

    Returns:
        (B, H, W) bool: one pixel wide, after smoothing with sigma 0.8.
    """
    gray = (pictures * pictures.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, True)
    along = torch.arange(-2, 3, device=gray.device, dtype=gray.dtype)
    bell = torch.exp(-((along / _SIGMA) ** 2) / 2)
    bell = bell / bell.sum()
    smooth = _filter(_filter(gray, bell[None]), bell[:, None])
    sobel = gray.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    right, down = _filter(smooth, sobel), _filter(smooth, sobel.T)
    strength = torch.hypot(right, down)
    thin = strength * _is_ridge(strength, right, down)
    strong, weak = thin > high, thin > low
    return _grown(strong, weak)[:, 0]


def foreground(pictures: Tensor, masks: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] with mid grey outside masks (B, H, W) bool.

    The paper has black there (`I_s M`), in which a black object would lose its outline.
    """
    return torch.where(masks[:, None], pictures, torch.full_like(pictures, _ROOM))


def _filter(x: Tensor, kernel: Tensor) -> Tensor:
    rows, columns = (side // 2 for side in kernel.shape)
    padded = F.pad(x, (columns, columns, rows, rows), mode="replicate")
    return F.conv2d(padded, kernel[None, None])


def _is_ridge(strength: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Where the gradient is not weaker than both neighbours across the edge: (B, 1, H, W)."""
    sector = torch.atan2(down, right).div(math.pi / 4).round().long() % 4
    padded = F.pad(strength, (1, 1, 1, 1))
    height, width = strength.shape[2:]

    def shifted(y: int, x: int) -> Tensor:
        return padded[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width]

    ridge = torch.zeros_like(strength, dtype=torch.bool)
    for number, (y, x) in enumerate(_STEPS):
        # One of the two comparisons is strict: a plateau of two pixels leaves one.
        top = (strength >= shifted(y, x)) & (strength > shifted(-y, -x))
        ridge |= (sector == number) & top
    return ridge


def _grown(strong: Tensor, weak: Tensor) -> Tensor:
    """The weak pixels that are connected to a strong one, and the strong ones."""
    while True:
        near = F.max_pool2d(strong.float(), 3, 1, 1) > 0
        more = near & weak | strong
        if torch.equal(more, strong):
            return strong
        strong = more
