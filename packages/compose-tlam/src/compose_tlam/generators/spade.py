"""SPADE: normalisation whose gain and bias are maps made of the labels.

Park et al. 2019, "Semantic image synthesis with spatially-adaptive normalization".
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from compose_core.errors import UsageError
from compose_tlam.generators.interface import Generator

__all__ = ["SPADE"]

_FACTORS = (16, 16, 16, 8, 4, 2, 1)
"""Channels of the paper's blocks over those of the last."""


@final
class SPADE(Generator):
    """A head on a small copy of the concepts, then blocks that double the size.

    Args:
        width: Channels of the concept tensor.
        last: Channels of the last block; the paper's is 64.
        factors: Channels of each block over `last`, from the smallest picture up; between two of
            them the size doubles.
        hidden: Channels inside each normalisation.
        spectral: Whether weights are divided by their largest singular value; folded into them
            once training is over.

    Raises:
        UsageError: There are no blocks.
    """

    def __init__(
        self,
        width: int,
        *,
        last: int = 64,
        factors: tuple[int, ...] = _FACTORS,
        hidden: int = 128,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        if not factors or min(factors) < 1 or last < 1:
            raise UsageError("SPADE needs blocks", got=f"factors={factors}, last={last}")
        self.width = width
        self.multiple = 2 ** (len(factors) - 1)
        channels = [last * factor for factor in factors]
        self.head = nn.Conv2d(width, channels[0], 3, padding=1)
        pairs = zip([channels[0], *channels], channels, strict=False)
        self.blocks = nn.ModuleList(_Block(a, b, width, hidden, spectral) for a, b in pairs)
        self.picture = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def paint(self, concept: Tensor) -> Tensor:
        """Pictures of concepts whose sides are multiples of the smallest picture's factor."""
        height, width = (side // self.multiple for side in concept.shape[-2:])
        x = self.head(F.interpolate(concept, size=(height, width), mode="nearest-exact"))
        for n, block in enumerate(self.blocks):
            if n:
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(x, F.interpolate(concept, size=x.shape[-2:], mode="nearest-exact"))
        return self.picture(F.leaky_relu(x, 0.2)).tanh()


class _Norm(nn.Module):
    """Batch norm without gain, then `x (1 + gamma) + beta`, both read off the concepts.

    In several processes `nn.SyncBatchNorm.convert_sync_batchnorm` joins their statistics.
    """

    def __init__(self, channels: int, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.shared = nn.Conv2d(width, hidden, 3, padding=1)
        self.gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, concept: Tensor) -> Tensor:
        seen = F.relu(self.shared(concept))
        return self.norm(x) * (1 + self.gamma(seen)) + self.beta(seen)


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, width: int, hidden: int, spectral: bool) -> None:
        super().__init__()
        middle = min(inside, outside)
        self.norm1, self.norm2 = _Norm(inside, width, hidden), _Norm(middle, width, hidden)
        self.conv1 = _normed(nn.Conv2d(inside, middle, 3, padding=1), spectral)
        self.conv2 = _normed(nn.Conv2d(middle, outside, 3, padding=1), spectral)
        self.norm3 = self.skip = None
        if inside != outside:
            self.norm3 = _Norm(inside, width, hidden)
            self.skip = _normed(nn.Conv2d(inside, outside, 1, bias=False), spectral)

    def forward(self, x: Tensor, concept: Tensor) -> Tensor:
        kept = x
        if self.norm3 is not None and self.skip is not None:
            kept = self.skip(self.norm3(x, concept))
        h = self.conv1(F.leaky_relu(self.norm1(x, concept), 0.2))
        return kept + self.conv2(F.leaky_relu(self.norm2(h, concept), 0.2))


def _normed(convolution: nn.Module, spectral: bool) -> nn.Module:
    return spectral_norm(convolution) if spectral else convolution
