"""The losses of the adversarial game, as formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "Trunk",
    "feature_matching",
    "generator_hinge",
    "hinge",
    "perceptual",
]

Maps = Sequence[Sequence[Tensor]]


class Trunk(Protocol):
    """A frozen network that turns pictures (B, 3, H, W) in [-1, 1] into maps of features."""

    weights: Sequence[float]
    """How much each map counts."""

    def __call__(self, pictures: Tensor) -> Sequence[Tensor]:
        """The maps."""
        ...


def hinge(real: Maps, fake: Maps) -> Tensor:
    """Loss of the discriminator: `relu(1 - D(real)) + relu(1 + D(fake))`, mean over scales."""
    terms = [
        F.relu(1 - r[-1]).mean() + F.relu(1 + f[-1]).mean()
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def generator_hinge(fake: Maps) -> Tensor:
    """Loss of the generator: `-D(fake)`, mean over scales."""
    return torch.stack([-maps[-1].mean() for maps in fake]).mean()


def feature_matching(real: Maps, fake: Maps) -> Tensor:
    """L1 between the discriminator's features of fake and (detached) real pictures.

    Summed over all layers but the verdict, mean over scales (Wang et al. 2018, equation 4).
    """
    terms = [
        F.l1_loss(f, r.detach())
        for own, other in zip(real, fake, strict=True)
        for r, f in zip(own[:-1], other[:-1], strict=True)
    ]
    return torch.stack(terms).sum() / len(real)


def perceptual(trunk: Trunk, fake: Tensor, real: Tensor) -> Tensor:
    """Weighted L1 between a trunk's features of fake and real pictures."""
    with torch.no_grad():
        truth = trunk(real)
    pairs = zip(trunk(fake), truth, trunk.weights, strict=True)
    return torch.stack([weight * F.l1_loss(f, r) for f, r, weight in pairs]).sum()
