"""Which cross-attention layers are listened to: all of one resolution.

The paper listens where Stable Diffusion 1.5 has 16 x 16 cells, on the way down and up, which is
four times coarser than its latents; the published code takes 32 x 32 for SDXL, four times coarser
as well. A network is listened to at the level whose cells are nearest to 16 along a side at the
size that it was trained on, unless another level is asked for.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple, cast

from torch import nn

from compose_core.attention import layers
from compose_core.errors import UsageError

__all__ = ["CELLS", "Ears", "ears"]

CELLS = 16
"""Cells along a side, at the size that a network was trained on."""

_PLACE = re.compile(r"^(down|up)_blocks\.(\d+)\.")


class Ears(NamedTuple):
    """The layers that are listened to, and how many times coarser than the latents they are."""

    where: tuple[str, ...]
    factor: int

    def size(self, spatial: tuple[int, int]) -> tuple[int, int]:
        """(h', w') of their maps beside latents (h, w)."""
        h, w = spatial
        return math.ceil(h / self.factor), math.ceil(w / self.factor)

    def covered(self, spatial: tuple[int, int]) -> tuple[float, float]:
        """Share of the rows and of the columns of maps that latents (h, w) fill."""
        (h, w), (rows, columns) = spatial, self.size(spatial)
        return h / (rows * self.factor), w / (columns * self.factor)


def ears(unet: nn.Module, factor: int | None = None) -> Ears:
    """The cross-attention layers of a `UNet2DConditionModel` to listen to.

    Args:
        unet: The network.
        factor: How many times coarser than the latents; by default what comes nearest to `CELLS`.

    Raises:
        UsageError: It has no cross-attention at that resolution.
    """
    config = cast(Any, unet).config
    last = len(config.up_block_types) - 1
    found: dict[int, list[str]] = {}
    for name in layers(unet):
        place = _PLACE.match(name)
        if place is not None:
            level = int(place[2]) if place[1] == "down" else last - int(place[2])
            found.setdefault(2**level, []).append(name)
    size = config.sample_size or 64  # what diffusers assumes where a configuration is silent
    side = size if isinstance(size, int) else min(size)
    if factor is None:
        factor = min(found, key=lambda f: abs(math.log2(side / f / CELLS)), default=1)
    if factor not in found:
        raise UsageError(
            "the network has no cross-attention at this resolution",
            got=f"{factor} times coarser than its latents",
            expected=f"one of {sorted(found)}",
        )
    return Ears(tuple(found[factor]), factor)
