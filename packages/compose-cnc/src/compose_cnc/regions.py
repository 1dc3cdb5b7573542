"""Where the tokens of each exemplar may be heard: from masks to a bias on attention logits.

Regions come front to back. What is seen of each is `v_k = m_k prod_{j < k} (1 - m_j)`; a last
region of ones takes the rest. Cross-attention adds `log v_k` to the logits of the tokens of region
`k`, so a softmax weight is multiplied by the share of the cell that the region has. With masks of
zeros and ones this closes and opens columns: the published network's `masked_fill`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ShapeError, UsageError

__all__ = [
    "Resize",
    "at_size",
    "bias",
    "check_shape",
    "check_values",
    "columns",
    "level_sizes",
    "visible",
]

Resize = Literal["official", "area", "nearest"]
"""How a mask comes to the resolution of a layer.

`"official"`: bicubic without antialiasing, then whatever is not zero is inside. At 1/8 to 1/64 of
the picture a cell is inside exactly where a pixel of its central 4x4 block is: a little too large
at fine layers, a sparse sample at coarse ones; soft masks turn hard. `"area"`: the mean over the
cell, for soft masks. `"nearest"`: one pixel for each cell.
"""


def visible(masks: Tensor) -> Tensor:
    """What is seen of each region.

    Args:
        masks: (B, K, H, W) in [0, 1], the region in front first, hidden parts included.

    Returns:
        `v_k = m_k prod_{j < k} (1 - m_j)`, of the same shape; its sum over k is at most 1.
    """
    rest = (1 - masks[:, :-1]).cumprod(1)
    return masks * torch.cat([torch.ones_like(masks[:, :1]), rest], 1)


def at_size(masks: Tensor, size: tuple[int, int], resize: Resize = "official") -> Tensor:
    """What is seen of each region in the cells of a layer.

    Args:
        masks: As in `visible`, at any size.
        size: (h, w) of the layer.
        resize: See `Resize`.

    Returns:
        (B, K, h, w) in [0, 1]. For `"official"` each mask is resized before the nearer ones are
        taken off it, so that a region of ones behind one mask is exactly its complement.

    Raises:
        UsageError: There is no such way of resizing.
    """
    if resize == "official":
        cells = F.interpolate(masks.float(), size, mode="bicubic", align_corners=False)
        return visible((cells != 0).float())
    if resize == "area":
        return F.interpolate(visible(masks.float()), size, mode="area").clamp(0, 1)
    if resize == "nearest":
        return F.interpolate(visible(masks.float()), size, mode="nearest-exact")
    raise UsageError(
        "unknown way to resize a mask", got=resize, expected="official, area or nearest"
    )


def level_sizes(spatial: tuple[int, int], levels: int) -> list[tuple[int, int]]:
    """(h, w) of each resolution of a UNet: halved and rounded up from one to the next."""
    h, w = spatial
    return [(-(-h // 2**i), -(-w // 2**i)) for i in range(levels)]


def columns(seen: Tensor, text: int, tokens: int) -> Tensor:
    """The share of each column of the context in each cell: 1 for text.

    Args:
        seen: Shares of the regions (B, K, h, w), from `at_size`.
        text: Columns of text, which come first.
        tokens: Columns of each region.

    Returns:
        (B, 1, h w, text + K tokens), float32: `M'` of Algorithm 1.
    """
    shares = seen.float().flatten(2).mT.repeat_interleave(tokens, 2)
    ones = shares.new_ones(()).expand(*shares.shape[:2], text)
    return torch.cat([ones, shares], 2)[:, None]


def bias(shares: Tensor) -> Tensor:
    """`log M'`: what to add to the logits; minus infinity where a region is not seen."""
    return shares.log()


def check_shape(masks: Tensor, spatial: tuple[int, int]) -> None:
    """Refuse masks of another shape than the picture's.

    Args:
        masks: What should be (B, K, H, W).
        spatial: (h, w) of the latents.

    Raises:
        ShapeError: They are not, or H / W is not h / w.
    """
    shape, (h, w) = tuple(masks.shape), spatial
    if len(shape) != 4 or shape[2] * w != shape[3] * h or not shape[1]:
        raise ShapeError(
            "the regions do not fit the picture",
            got=shape,
            expected=f"(B, K, H, W) in the proportions of latents {h} x {w}",
            remedy="resize the masks; under windows, give each part what its window shows",
        )


def check_values(masks: Tensor) -> None:
    """Refuse masks with other values than shares.

    Raises:
        ShapeError: They leave [0, 1] or are not finite.
    """
    if masks.device.type == "meta" or bool(((masks >= 0) & (masks <= 1)).all()):
        return
    low, high = (float(x) for x in masks.aminmax())
    raise ShapeError(
        "a region is no mask",
        got=f"values from {low:.4g} to {high:.4g}",
        expected="values from 0 to 1, all of them numbers",
    )
