"""Networks that see pictures as vectors."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compose_core.errors import ShapeError
from compose_metrics.pictures import as_saved, checked, resize
from compose_metrics.result import Source


@dataclass(frozen=True)
class Features:
    """What a network says about a batch.

    Attributes:
        features: (B, D).
        logits: Unnormalised class scores (B, C), where the network has them.
    """

    features: Tensor
    logits: Tensor | None = None


class Extractor(nn.Module, ABC):
    """A frozen network with an identity.

    Subclasses implement ``forward`` for pictures that are prepared; callers use ``extract``.

    Attributes:
        source: Which network this is.
        dim: Length D of its features.
        size: Height and width of the pictures that ``forward`` gets, in pixels.
        transform: Everything done to a picture before ``forward``, in words; part of the identity
            of reference statistics.
    """

    def __init__(self, source: Source, *, dim: int, size: int, transform: str = "") -> None:
        super().__init__()
        self.source = source
        self.dim = dim
        self.size = size
        resized = f"8 bits, bicubic antialiased to {size} x {size}, [-1, 1]"
        self.transform = f"{resized}, {transform}" if transform else resized

    @property
    def device(self) -> torch.device:
        """Where its weights are; the CPU when it has none."""
        first = next(self.parameters(), None)
        return first.device if first is not None else torch.device("cpu")

    @abstractmethod
    def forward(self, pictures: Tensor) -> Features:
        """See pictures (B, 3, size, size), float32 in [-1, 1]."""

    def prepare(self, pictures: Tensor) -> Tensor:
        """What ``forward`` gets: checked, rounded as a PNG, resized."""
        return resize(as_saved(checked(pictures)), self.size)

    @torch.no_grad()
    def extract(self, pictures: Tensor) -> Features:
        """Features of pictures (B, 3, H, W) of any size, float in [-1, 1] or uint8.

        Raises:
            ShapeError: Wrong pictures, or the network answers with another shape.
        """
        was_training = self.training
        self.eval()
        seen: Features = self(self.prepare(pictures.to(self.device)))
        self.train(was_training)
        if seen.features.shape != (len(pictures), self.dim):
            raise ShapeError(
                f"features of {self.source.id} have the wrong shape",
                got=tuple(seen.features.shape),
                expected=(len(pictures), self.dim),
            )
        return seen

    def seen(self, samples: Tensor | Features) -> Features:
        """Features as they are, pictures through `extract`."""
        return samples if isinstance(samples, Features) else self.extract(samples)


def weights_sha256(network: nn.Module) -> str:
    """sha256 of all parameters and buffers with their names, dtypes and shapes.

    For networks that do not come from one file.
    """
    whole = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        whole.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
