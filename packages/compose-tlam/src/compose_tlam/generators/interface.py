"""What a generator is: a concept tensor in, pictures out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Generator", "padded"]


class Generator(nn.Module, ABC):
    """Makes pictures of concept tensors.

    Attributes:
        width: Channels of the concept tensor.
        multiple: Sides of pictures are padded to multiples of this, and cut again.
    """

    width: int
    multiple: int

    def forward(self, concept: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] of concepts (B, width, H, W), of any size."""
        height, width = concept.shape[-2:]
        return self.paint(padded(concept, self.multiple))[..., :height, :width]

    @abstractmethod
    def paint(self, concept: Tensor) -> Tensor:
        """The same for sides that are multiples of `multiple`."""


def padded(x: Tensor, multiple: int) -> Tensor:
    """Right and lower edges repeated up to a multiple."""
    down, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x
