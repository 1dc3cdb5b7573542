"""Networks that see pictures as vectors."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compose_core.errors import ShapeError, UsageError
from compose_metrics.pictures import resize, taken
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
        self.eval()

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
        return resize(taken(pictures), self.size)

    @torch.no_grad()
    def extract(self, pictures: Tensor) -> Features:
        """Features of pictures (B, 3, H, W) of any size, float in [-1, 1] or uint8.

        The network sees them in evaluation mode; afterwards each module is in the mode it was in.

        Raises:
            ShapeError: Wrong pictures, or the network answers with another shape.
        """
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            seen: Features = self(self.prepare(pictures.to(self.device)))
        finally:
            for module, mode in modes:
                module.training = mode
        return self._checked(seen, len(pictures))

    def seen(self, samples: Tensor | Features) -> Features:
        """Features as they are, pictures through `extract`.

        Raises:
            ShapeError: Wrong pictures, or features of another shape than the network's.
        """
        if isinstance(samples, Features):
            return self._checked(samples, len(samples.features))
        return self.extract(samples)

    def _checked(self, seen: Features, n: int) -> Features:
        if seen.features.shape != (n, self.dim):
            raise ShapeError(
                f"features of {self.source.id} have the wrong shape",
                got=tuple(seen.features.shape),
                expected=(n, self.dim),
            )
        if seen.logits is not None and (seen.logits.dim() != 2 or len(seen.logits) != n):
            raise ShapeError(
                f"class scores of {self.source.id} have the wrong shape",
                got=tuple(seen.logits.shape),
                expected=f"({n}, C)",
            )
        return seen


def weights_sha256(network: nn.Module) -> str:
    """sha256 of all parameters and buffers with their names, dtypes and shapes.

    For networks that do not come from one file.

    Raises:
        UsageError: The network has none, so that this hash could not tell it from any other.
    """
    if not network.state_dict():
        raise UsageError(
            "a network without weights cannot be known by them",
            got=type(network).__name__,
            remedy="hash what decides its features, such as its source code",
        )
    whole = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        whole.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
