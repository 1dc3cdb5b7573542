"""Looking into the merger: the concept tensor as colours, and how much labels are looked at."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_tlam.merge import TLAM, Strength
from compose_tlam.stack import LabelStack

__all__ = ["looked_at", "principal"]

_STRETCH = (0.02, 0.98)
"""Quantiles that become 0 and 1: a few odd pixels should not take all contrast."""


@torch.no_grad()
def principal(concept: Tensor, *, chunk: int = 65_536) -> Tensor:
    """The three directions in which concepts vary most, as colours (B, 3, H, W) in [0, 1].

    Principal components of all pixels of the batch (figure 7), from their d x d covariance, summed
    piece by piece; the sign of each is that of its largest entry.

    Args:
        concept: (B, d, H, W).
        chunk: Pixels of a piece.
    """
    batch, width, high, wide = concept.shape
    rows = concept.permute(0, 2, 3, 1).reshape(-1, width)
    mean = rows.double().mean(0)
    covariance = torch.zeros(width, width, dtype=torch.float64, device=rows.device)
    for piece in rows.split(chunk):
        centred = piece.double() - mean
        covariance += centred.t() @ centred
    axes = torch.linalg.eigh(covariance)[1].flip(1)[:, :3]
    axes = F.pad(axes, (0, 3 - axes.shape[1]))
    sign = axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    shown = ((rows.double() - mean) @ (axes * torch.where(sign == 0, 1, sign))).float()
    # Quantiles of a sample: torch refuses to sort more than 16 million numbers.
    sample = shown[:: max(len(shown) // 1_000_000, 1)]
    low, high_end = (torch.quantile(sample, q, dim=0) for q in _STRETCH)
    colours = ((shown - low) / (high_end - low).clamp_min(1e-12)).clamp(0, 1)
    return colours.view(batch, high, wide, 3).permute(0, 3, 1, 2)


@torch.no_grad()
def looked_at(
    merger: TLAM,
    stack: LabelStack,
    strength: Strength | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """How much each label is looked at, mean over queries and layers: (B, N, H, W), sums of 1."""
    maps = merger.attention(stack, strength, noise)  # (layers, B, N, N, H, W)
    return maps.mean((0, 2))
