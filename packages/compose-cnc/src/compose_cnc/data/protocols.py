"""What the triplet pipeline asks of its networks. Any callable of the right shape will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class SalientObject(Protocol):
    """Finds the objects that a picture is about (U2-Net, or any network of its kind)."""

    def __call__(self, pictures: Tensor) -> Tensor:
        """Saliency (B, H, W) in [0, 1] of pictures (B, 3, H, W) in [0, 1]."""
        ...


class Inpainter(Protocol):
    """Paints over a region of a picture."""

    def __call__(
        self, pictures: Tensor, masks: Tensor, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] in which the region is new.

        Args:
            pictures: (B, 3, H, W) in [0, 1].
            masks: (B, H, W), 1 where to paint and 0 elsewhere.
            generators: One per picture, on the CPU; all randomness comes from them, so that a
                result does not depend on the batch.
        """
        ...


class DepthEstimator(Protocol):
    """Reads depth from a picture."""

    def __call__(self, pictures: Tensor) -> Tensor:
        """Inverse depth (B, H, W) of pictures (B, 3, H, W) in [0, 1]: larger is nearer.

        Scale and shift have no meaning; they are removed from each picture later.
        """
        ...


class ImageEncoder(Protocol):
    """Describes a picture by one vector."""

    def __call__(self, pictures: Tensor) -> Tensor:
        """Embeddings (B, D) of pictures (B, 3, H, W) in [0, 1]."""
        ...
