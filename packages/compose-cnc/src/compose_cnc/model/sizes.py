"""Widths and strides of the depth streams, for the base models in use."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["SD15", "TINY", "Sizes"]


@dataclass(frozen=True)
class Sizes:
    """What `DepthStreams` is made of.

    Attributes:
        stream_channels: Output channels of the convolutions of each stream.
        stream_strides: Their strides, 1 or 2.
        feature_channels: Channels of the feature of each resolution, the finest first; one for
            each down block of the UNet.
    """

    stream_channels: tuple[int, ...]
    stream_strides: tuple[int, ...]
    feature_channels: tuple[int, ...]

    @property
    def factor(self) -> int:
        """Pixels per cell of the finest feature, which has the size of the latents."""
        return 2 * math.prod(self.stream_strides)


SD15 = Sizes((32, 64, 64, 64), (1, 2, 1, 2), (192, 256, 384, 512))
"""Stable Diffusion 1: latents of 1/8 of the picture, four resolutions (the published weights)."""

TINY = Sizes((16, 32, 32), (1, 2, 1), (64, 96, 128))
"""`sd-tiny`: latents of 1/4 of the picture, three resolutions."""
