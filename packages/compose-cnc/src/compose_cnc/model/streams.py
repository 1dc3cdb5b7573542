"""Two depth maps to one feature per resolution: separate streams, late fusion.

Paper, section 3.2 and appendix A.2. The published network has plain convolutions where the paper
says ResNet blocks; so has this one.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from compose_cnc.model.sizes import SD15
from compose_core.errors import UsageError

__all__ = ["DepthStreams"]


class DepthStreams(nn.Module):
    """A convolutional stream for each of foreground and background, fused and seen at all scales.

    All convolutions are 3x3 with padding 1. Each stream and each resolution ends in a SiLU; a
    feature goes out through a zero convolution (Zhang et al. 2023, arXiv 2302.05543), while the
    next resolution is made from what came before it.

    Args:
        stream_channels: See `Sizes`.
        stream_strides: See `Sizes`.
        feature_channels: See `Sizes`.
        depth_channels: Channels of a depth map.

    Raises:
        UsageError: A stream has not one stride for each of its convolutions, or a stride is
            neither 1 nor 2.
    """

    def __init__(
        self,
        stream_channels: tuple[int, ...] = SD15.stream_channels,
        stream_strides: tuple[int, ...] = SD15.stream_strides,
        feature_channels: tuple[int, ...] = SD15.feature_channels,
        depth_channels: int = 3,
    ) -> None:
        super().__init__()
        fits = len(stream_channels) == len(stream_strides) > 0 and len(feature_channels) > 0
        if not fits or not set(stream_strides) <= {1, 2}:
            raise UsageError(
                "the depth streams cannot be built from these sizes",
                got=f"channels {stream_channels}, strides {stream_strides}, "
                f"features {feature_channels}",
                expected="a stride of 1 or 2 for each convolution, and at least one feature",
            )
        widths = (depth_channels, *stream_channels)
        self.fg = _stream(widths, stream_strides)
        self.bg = _stream(widths, stream_strides)
        scales = pairwise((2 * stream_channels[-1], *feature_channels))
        self.levels = nn.ModuleList(_stream(pair, (2,)) for pair in scales)
        self.zero = nn.ModuleList(nn.Conv2d(n, n, 3, padding=1) for n in feature_channels)
        for conv in self.zero.parameters():
            nn.init.zeros_(conv)

    def forward(self, fg: Tensor, bg: Tensor) -> tuple[Tensor, ...]:
        """Features of both maps together, the finest first.

        Args:
            fg: Depth of the foreground (B, 3, H, W) in [0, 1], near is 1; zeros mean none.
            bg: Depth of the background, of the same shape.

        Returns:
            (B, feature_channels[i], ceil(h / 2^i), ceil(w / 2^i)), of latents (h, w).
        """
        x = torch.cat([self.fg(fg), self.bg(bg)], 1)
        features: list[Tensor] = []
        for level, zero in zip(self.levels, self.zero, strict=True):
            x = level(x)
            features.append(zero(x))
        return tuple(features)


def _stream(widths: tuple[int, ...], strides: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for (before, after), stride in zip(pairwise(widths), strides, strict=True):
        layers += [nn.Conv2d(before, after, 3, stride, padding=1), nn.SiLU()]
    return nn.Sequential(*layers)
