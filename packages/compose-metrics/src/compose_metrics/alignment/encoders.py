"""What the metrics of this folder see through: a model with one space for pictures and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from compose_core.errors import ComposeError
from compose_metrics.result import Source


@dataclass(frozen=True)
class EncodedTexts:
    """Texts as vectors.

    Attributes:
        embeddings: (B, D), of any length; metrics normalise them.
        truncated: (B,) bool, whether the end of a text did not fit and was not read.
    """

    embeddings: Tensor
    truncated: Tensor


class PictureEncoder(Protocol):
    """Pictures to vectors.

    Attributes:
        source: Which network this is.
        size: Height and width of the pictures that the network sees.
        transform: What is done to a picture before the network, in words.
    """

    @property
    def source(self) -> Source:
        """Which network this is."""
        ...

    @property
    def size(self) -> int:
        """Height and width of the pictures that the network sees."""
        ...

    @property
    def transform(self) -> str:
        """What is done to a picture before the network, in words."""
        ...

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """Vectors (B, D) of pictures (B, 3, H, W) in [-1, 1] of any size."""
        ...


class DualEncoder(PictureEncoder, Protocol):
    """Pictures and texts to vectors of one space."""

    def encode_texts(self, texts: Sequence[str]) -> EncodedTexts:
        """Vectors (B, D) of texts."""
        ...


def unit(vectors: Tensor, what: str) -> Tensor:
    """Vectors (..., D) scaled to length 1, in float64.

    Raises:
        ComposeError: A vector is zero or not finite, so it has no direction.
    """
    vectors = vectors.double()
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    if not bool((torch.isfinite(length) & (length > 0)).all()):
        raise ComposeError(
            f"{what} have no direction",
            got="zero, NaN or infinite embeddings",
            remedy="look for an overflow in half precision",
        )
    return vectors / length
