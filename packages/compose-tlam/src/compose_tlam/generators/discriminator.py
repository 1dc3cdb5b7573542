"""The multi-scale patch discriminator of pix2pixHD, with spectral norm."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["Discriminator"]

Maps = list[list[Tensor]]
"""For each scale the outputs of all layers; the last one is the verdict on patches."""


@final
class Discriminator(nn.Module):
    """The same network on the picture and on smaller copies of it, each with its own weights.

    Args:
        inside: Channels of the condition and the picture together.
        scales: Number of sizes.
        narrow: Channels of the first layer; they double up to eightfold.
        layers: Layers before the verdict; all but the last of them halve the size.
    """

    def __init__(self, inside: int, *, scales: int = 2, narrow: int = 64, layers: int = 4) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_Patches(inside, narrow, layers) for _ in range(scales))

    def forward(self, condition: Tensor, picture: Tensor) -> Maps:
        """Outputs of every layer at every scale, from the largest picture down.

        Args:
            condition: (B, C, H, W).
            picture: (B, 3, H, W) in [-1, 1].
        """
        x = torch.cat([condition, picture], 1)
        found: Maps = []
        for n, network in enumerate(self.scales):
            if n:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            found.append(network(x))
        return found


class _Patches(nn.Module):
    def __init__(self, inside: int, narrow: int, layers: int) -> None:
        super().__init__()
        parts: list[nn.Module] = [
            nn.Sequential(nn.Conv2d(inside, narrow, 4, 2, 2), nn.LeakyReLU(0.2))
        ]
        width = narrow
        for n in range(1, layers):
            wider = min(width * 2, narrow * 8)
            stride = 1 if n == layers - 1 else 2
            convolution = spectral_norm(nn.Conv2d(width, wider, 4, stride, 2, bias=False))
            parts.append(nn.Sequential(convolution, nn.InstanceNorm2d(wider), nn.LeakyReLU(0.2)))
            width = wider
        parts.append(nn.Conv2d(width, 1, 4, 1, 2))
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        for part in self.parts:
            x = part(x)
            found.append(x)
        return found
