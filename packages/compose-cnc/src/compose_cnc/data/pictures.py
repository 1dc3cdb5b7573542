"""Pictures, labels and masks from files, brought to one square size.

Colours are resampled with an antialiasing filter, labels and masks with the nearest pixel:
interpolating between label numbers invents labels that are nowhere in the picture.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import SceneError, UsageError
from compose_core.images import open_picture, read_colours

Fit = Literal["crop", "stretch"]
"""How a picture becomes square: its centre at full height or width, or all of it, stretched."""

_THINGS = 90
"""Pixel maps of COCO-Stuff count from 0: 0 to 90 are things, 91 to 181 stuff, 255 neither."""

_WHITE = {"1": 1.0, "L": 255.0, "I;16": 65535.0}


def picture(data: bytes, what: str) -> Tensor:
    """Colours (3, H, W) in [0, 1] of a picture file.

    Raises:
        SceneError: It is no picture, or a damaged one.
    """
    return torch.from_numpy(np.array(read_colours(data, what))).permute(2, 0, 1).contiguous()


def things(data: bytes, what: str) -> Tensor:
    """Mask (H, W) bool of the things in a pixel map of COCO-Stuff.

    Raises:
        SceneError: It is no picture with one label per pixel, or a damaged one.
    """
    labels = _plane(data, ("L", "P", "I;16"), what, "one label per pixel (mode L, P or I;16)")
    return torch.from_numpy(labels.astype(np.int64) <= _THINGS)


def mask(data: bytes, what: str, threshold: float = 0.5) -> Tensor:
    """Mask (H, W) bool of a greyscale picture: true where it is brighter than `threshold`.

    Raises:
        SceneError: It is no greyscale picture, or a damaged one.
    """
    opened = open_picture(data, what)
    values = _plane(data, tuple(_WHITE), what, "a greyscale picture (mode 1, L or I;16)")
    return torch.from_numpy(values.astype(np.float32) / _WHITE[opened.mode] > threshold)


def _plane(data: bytes, modes: tuple[str, ...], what: str, expected: str) -> np.ndarray:
    opened = open_picture(data, what)
    if opened.mode not in modes:
        raise SceneError(f"{what} has the wrong mode", got=opened.mode, expected=expected)
    try:
        return np.array(opened)
    except Exception as error:  # Pillow's parsers raise nearly anything on damaged data
        raise SceneError(
            f"{what} is damaged", got=error, remedy="fetch or save it again"
        ) from error


def fit_picture(colours: Tensor, size: int, fit: Fit = "crop") -> Tensor:
    """Picture (3, H, W) in [0, 1] resampled to (3, size, size)."""
    height, width = _scaled(colours.shape[-2], colours.shape[-1], size, fit)
    if (height, width) != tuple(colours.shape[-2:]):
        colours = F.interpolate(
            colours[None], (height, width), mode="bilinear", antialias=True, align_corners=False
        )[0].clamp(0, 1)
    return _centre(colours, size)


def fit_mask(region: Tensor, size: int, fit: Fit = "crop") -> Tensor:
    """Mask (H, W) bool resampled to (size, size) bool by the nearest pixel."""
    height, width = _scaled(region.shape[-2], region.shape[-1], size, fit)
    values = region[None, None].to(torch.float32)
    return _centre(F.interpolate(values, (height, width), mode="nearest-exact")[0, 0] > 0.5, size)


def _scaled(height: int, width: int, size: int, fit: Fit) -> tuple[int, int]:
    if fit not in get_args(Fit):
        raise UsageError("unknown way to fit a picture", got=fit, expected=get_args(Fit))
    if fit == "stretch":
        return size, size
    short = min(height, width)
    return max(size, round(height * size / short)), max(size, round(width * size / short))


def _centre(values: Tensor, size: int) -> Tensor:
    top, left = (values.shape[-2] - size) // 2, (values.shape[-1] - size) // 2
    return values[..., top : top + size, left : left + size].contiguous()


def dilated(masks: Tensor, pixels: int) -> Tensor:
    """Masks (B, H, W) bool grown by a square of `pixels` x `pixels`.

    An even square has no centre; its longer half looks up and to the left, as in OpenCV.
    """
    if pixels <= 1:
        return masks
    before, after = pixels // 2, pixels - 1 - pixels // 2
    padded = F.pad(masks[:, None].to(torch.float32), (before, after, before, after))
    return F.max_pool2d(padded, pixels, stride=1)[:, 0] > 0.5


def stretched(depth: Tensor) -> Tensor:
    """Depth (B, H, W) stretched to [0, 1] in each picture; a constant one becomes 0."""
    low, high = depth.amin((1, 2), keepdim=True), depth.amax((1, 2), keepdim=True)
    span = high - low
    return torch.where(span > 0, (depth - low) / torch.where(span > 0, span, 1), 0.0)
