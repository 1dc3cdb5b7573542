"""Sounds and maps that are given, looked at before anything is made of them."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from compose_core.errors import ShapeError

__all__ = ["check_chart", "check_sound"]


def check_sound(sound: Tensor, stems: int) -> Tensor:
    """A sound `(S, T)` that a model can hear, in float32.

    One that is silent or clipped is heard, with a warning.

    Raises:
        ShapeError: It has not the stems of the model, no samples, or values that are not finite.
    """
    if sound.dim() != 2 or sound.shape[0] != stems or not sound.shape[1]:
        raise ShapeError(
            "a sound has not the stems of the model",
            got=tuple(sound.shape),
            expected=f"({stems}, samples)",
            remedy="give one channel for each stem; a mix cannot be taken apart",
        )
    if not sound.is_floating_point() or not bool(torch.isfinite(sound).all()):
        raise ShapeError(
            "a sound is broken",
            got=f"{sound.dtype}, {int((~torch.isfinite(sound)).sum())} values not finite",
            expected="finite floating point samples",
        )
    peak = float(sound.abs().max())
    if peak == 0:
        warnings.warn("the sound is silent; what is made beside it is free", stacklevel=3)
    elif peak > 1:
        share = float((sound.abs() > 1).float().mean())
        warnings.warn(
            f"the sound is clipped: its peak is {peak:.2f}, {share:.1%} of it above 1",
            stacklevel=3,
        )
    return sound.float()


def check_chart(chart: Tensor, channels: int) -> Tensor:
    """A map `(E, H, W)` in [-1, 1], in float32.

    Raises:
        ShapeError: It has other channels or values.
    """
    if chart.dim() != 3 or chart.shape[0] != channels:
        raise ShapeError(
            "a map has not the channels of the model",
            got=tuple(chart.shape),
            expected=f"({channels}, H, W)",
        )
    inside = torch.isfinite(chart).all() & (chart.abs() <= 1 + 1e-6).all()
    if not chart.is_floating_point() or not bool(inside):
        raise ShapeError("a map is broken", got=chart.dtype, expected="values from -1 to 1")
    return chart.float()
