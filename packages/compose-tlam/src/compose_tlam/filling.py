"""Labels for what nobody has labelled: those of the nearest pixel that is known."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_tlam.labels import Label
from compose_tlam.stack import LabelStack, Layer

__all__ = ["filled", "nearest"]

_PAIRS = 2**22
"""Distances that are held at once."""


def nearest(gone: Tensor) -> tuple[Tensor, Tensor] | None:
    """For each pixel of a mask the nearest one outside.

    Args:
        gone: (H, W) bool.

    Returns:
        Numbers of the pixels inside and of those nearest to them, row by row, (R,) each; of
        several the first. None where nothing or everything is inside.
    """
    inside = gone.flatten().nonzero()[:, 0]
    rim = (F.max_pool2d(gone[None, None].float(), 3, 1, 1)[0, 0] > 0) & ~gone
    outside = rim.flatten().nonzero()[:, 0]
    if not len(inside) or not len(outside):
        return None
    width = gone.shape[1]
    away = torch.stack([outside // width, outside % width], 1).double()
    found: list[Tensor] = []
    for some in inside.split(max(_PAIRS // len(outside), 1)):
        here = torch.stack([some // width, some % width], 1).double()
        gaps = (here[:, None] - away[None]).square().sum(2)
        found.append(outside[gaps.argmin(1)])
    return inside, torch.cat(found)


def filled(stack: LabelStack, gone: Tensor) -> LabelStack:
    """The same labels, inside a mask those of the nearest pixel outside, without edges there.

    All labels of a pixel come from one place, so they do not contradict each other.

    Args:
        stack: A batch of one.
        gone: (H, W) bool.
    """
    pairs = nearest(gone)
    if pairs is None:
        return stack
    to, source = pairs

    def copied(label: Label, layer: Layer) -> Layer:
        value, valid = layer.value.clone().contiguous(), layer.valid.clone().contiguous()
        flat = value.flatten(-2)
        flat[..., to] = flat[..., source]
        known = valid.flatten(-2)
        known[..., to] = known[..., source]
        if label.name == "edges":
            value[..., gone] = 0
        return Layer(value, valid)

    return stack.map(copied)
