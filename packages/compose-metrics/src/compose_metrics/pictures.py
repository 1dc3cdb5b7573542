"""Pictures as metrics take them: checked, rounded as files are, resized as PIL does.

Everything here works on batches (B, 3, H, W), float in [-1, 1], on any device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from compose_core.errors import ShapeError
from compose_metrics.table import listed

TOLERANCE = 1e-4
"""How far outside [-1, 1] rounding may lie."""


def checked(pictures: Tensor, what: str = "the pictures") -> Tensor:
    """Pictures (B, 3, H, W) as float in [-1, 1], or an error that says what is wrong.

    Args:
        pictures: Float in [-1, 1] (halves become float32), or uint8 in [0, 255].
        what: What they are called in messages.

    Raises:
        ShapeError: Wrong shape, dtype or range, no picture at all, or NaN; names the pictures.
    """
    expected = "(B, 3, H, W), float in [-1, 1] or uint8"
    got = f"{pictures.dtype} {tuple(pictures.shape)}"
    if pictures.dim() != 4 or pictures.shape[1] != 3:
        raise ShapeError(f"{what} have the wrong shape", got=got, expected=expected)
    if pictures.numel() == 0:
        raise ShapeError(f"{what} are empty", got=got, expected="at least one picture")
    if pictures.dtype == torch.uint8:
        return pictures.float() / 127.5 - 1
    if not pictures.is_floating_point():
        raise ShapeError(f"{what} have the wrong dtype", got=got, expected=expected)
    if pictures.dtype in (torch.float16, torch.bfloat16):
        pictures = pictures.float()
    broken = ~pictures.isfinite().flatten(1).all(1)
    if bool(broken.any()):
        raise ShapeError(
            f"{what} hold values that are not finite numbers",
            got=f"in pictures {listed(broken.nonzero().flatten().tolist())} of the batch",
            remedy="look for an overflow in half precision",
        )
    low, high = (float(end) for end in pictures.aminmax())
    if low < -1 - TOLERANCE or high > 1 + TOLERANCE:
        raise ShapeError(
            f"{what} have the wrong range",
            got=f"{pictures.dtype} from {low:g} to {high:g}",
            expected="float in [-1, 1], or uint8 in [0, 255]",
            remedy="scale them, or clamp(-1, 1) what overshoots",
        )
    return pictures.clamp(-1, 1)


def as_bytes(pictures: Tensor) -> Tensor:
    """Pictures as a PNG holds them: uint8 (B, 3, H, W), rounded to the nearest level."""
    if pictures.dtype == torch.uint8:
        return pictures
    return ((pictures.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def as_saved(pictures: Tensor) -> Tensor:
    """Pictures as they come back from a saved PNG: float32 in [-1, 1] on 256 levels.

    Truncation instead of rounding would make every picture darker by half a level.
    """
    return as_bytes(pictures).float() / 127.5 - 1


def taken(pictures: Tensor, what: str = "the pictures") -> Tensor:
    """Pictures as every metric takes them: checked, and as a saved PNG gives them back.

    So pictures in memory and their files are measured alike. See `checked` and `as_saved`.
    """
    return as_saved(checked(pictures, what))


def sizes(pictures: Tensor) -> Tensor:
    """Height and width in pixels of each of the pictures (B, 2)."""
    return torch.tensor([tuple(pictures.shape[-2:])] * len(pictures))


def resize(pictures: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Antialiased bicubic resize, equal to PIL's resize of float channels.

    The same filter serves both ways: without ``antialias`` torch would use another cubic when
    growing (-0.75 instead of PIL's -0.5). Overshoot is clamped.

    Args:
        pictures: (B, 3, H, W), float in [-1, 1].
        size: (height, width), or one number for both.

    Returns:
        (B, 3, *size), in the same dtype. Agrees with PIL to 3e-3 of 255 levels in float32 and to
        2e-5 in float64.
    """
    shape = (size, size) if isinstance(size, int) else size
    if pictures.shape[-2:] == shape:
        return pictures
    resized = F.interpolate(pictures, shape, mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(-1, 1)
