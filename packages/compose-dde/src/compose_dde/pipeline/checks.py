"""Sounds and maps that are given, looked at before anything is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from compose_core.errors import ShapeError
from compose_dde.audio.checks import check_sound

__all__ = ["check_chart", "check_given"]


def check_given(
    sound: Tensor, rate: int, names: Sequence[str], warn: Callable[[str], None]
) -> Tensor:
    """A sound `(S, T)` that a model can hear, in float32.

    `warn` receives a line if it is silent or clipped: it is heard all the same.

    Raises:
        ShapeError: It has not the stems of the model, no samples, or values that are not finite.
    """
    what = f"the sound ({', '.join(names)})"
    if not isinstance(cast(Any, sound), Tensor):
        raise ShapeError(
            f"{what} is no tensor",
            got=type(sound).__name__,
            expected=f"a torch.Tensor ({len(names)}, T)",
            remedy="torch.from_numpy",
        )
    for line in check_sound(sound, rate, what=what, channels=len(names)).warnings:
        warn(line)
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
        finite = chart[torch.isfinite(chart)]
        lost = chart.numel() - finite.numel()
        ends = f", {float(finite.min()):g} to {float(finite.max()):g}" if finite.numel() else ""
        raise ShapeError(
            "a map is broken",
            got=f"{chart.dtype}{ends}, {lost} values that are no numbers",
            expected="floats from -1 to 1",
        )
    return chart.float()
