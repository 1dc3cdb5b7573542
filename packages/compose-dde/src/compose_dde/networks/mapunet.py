"""The UNet for satellite pictures of schematic maps.

The paper (appendix B.3.2) took it from denoising-diffusion-pytorch (Phil Wang). It is written here
anew, with the names that weights have there (`downs.0.2.to_qkv.weight`). Its base model is
`MapUNet(**MAPS)`, 270.0M.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.encoded import Encoded
from compose_core.errors import ShapeError
from compose_dde.networks.edm import Backbone
from compose_dde.networks.layers1d import Features

__all__ = ["MAPS", "MapUNet"]

MAPS: dict[str, Any] = {
    "channels_in": 3,
    "told": 3,
    "width": 128,
    "multipliers": (1, 2, 4, 8, 8),
    "features": 32,
    "heads": 8,
    "head_dim": 64,
}
"""Appendix B.3.2: pictures of 64 x 64 beside a map."""


@final
class MapUNet(Backbone):
    """Pictures `(B, C, H, W)`; reads `"map"` `(B, E, H, W)`, where it was made with one.

    Full attention at the lowest resolution, linear attention at the others.

    Args:
        channels_in: Colours.
        told: Channels of the map, 0 for none.
        width: Of the first level.
        multipliers: Width of each level over that; the resolution halves between them.
        features: Of the noise level.
        heads: Of the attention.
        head_dim: Dimensions of a head.
        channels_out: By default those that come in.
    """

    def __init__(
        self,
        channels_in: int,
        told: int,
        width: int,
        multipliers: Sequence[int],
        features: int = 16,
        heads: int = 4,
        head_dim: int = 32,
        channels_out: int | None = None,
    ) -> None:
        super().__init__()
        self._settings: dict[str, Any] = {
            "channels_in": channels_in,
            "told": told,
            "width": width,
            "multipliers": tuple(multipliers),
            "features": features,
            "heads": heads,
            "head_dim": head_dim,
            "channels_out": channels_out,
        }
        time = 4 * width
        widths = [width, *(width * m for m in multipliers)]
        levels = list(zip(widths, widths[1:], strict=False))
        last = len(levels) - 1
        self.init_conv = nn.Conv2d(channels_in + told, width, 7, padding=3)
        self.time_mlp = nn.Sequential(
            Features(features), nn.Linear(features + 1, time), nn.GELU(), nn.Linear(time, time)
        )

        def attention(level: int, inside: int) -> nn.Module:
            kind = _Attention if level == last else _LinearAttention
            return kind(inside, heads, head_dim)

        self.downs = nn.ModuleList()
        self.ups = nn.ModuleList()
        for level, (before, after) in enumerate(levels):
            shrink = (
                nn.Conv2d(before, after, 3, padding=1) if level == last else _half(before, after)
            )
            blocks = [_Residual(before, before, time), _Residual(before, before, time)]
            self.downs.append(nn.ModuleList([*blocks, attention(level, before), shrink]))
        middle = widths[-1]
        self.mid_block1 = _Residual(middle, middle, time)
        self.mid_attn = _Attention(middle, heads, head_dim)
        self.mid_block2 = _Residual(middle, middle, time)
        for level, (before, after) in reversed(list(enumerate(levels))):
            grow = nn.Conv2d(after, before, 3, padding=1) if level == 0 else _double(after, before)
            both = after + before
            blocks = [_Residual(both, after, time), _Residual(both, after, time)]
            self.ups.append(nn.ModuleList([*blocks, attention(level, after), grow]))
        self.final_res_block = _Residual(2 * width, width, time)
        self.final_conv = nn.Conv2d(width, channels_out or channels_in, 1)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments."""
        return dict(self._settings)

    @property
    def grain(self) -> int:
        """The resolution halves between levels."""
        return 2 ** (len(self.downs) - 1)

    def forward(self, x: Tensor, noise: Tensor, encoded: Encoded) -> Tensor:
        """See `Backbone`; without a map in the question it sees an empty one.

        Raises:
            ShapeError: The map has not the size of the picture.
        """
        count = self._settings["told"]
        if count:
            blank = x.new_zeros(x.shape[0], count, *x.shape[2:])
            told = encoded["map"].to(x.dtype) if "map" in encoded else blank
            if told.shape[1:] != blank.shape[1:]:
                raise ShapeError(
                    "a map does not fit the picture",
                    got=tuple(told.shape),
                    expected=tuple(blank.shape),
                )
            x = torch.cat([x, told], 1)
        x = first = self.init_conv(x)
        time = self.time_mlp(noise)
        kept: list[Tensor] = []
        for one, two, attend, shrink in _levels(self.downs):
            x = one(x, time)
            kept.append(x)
            x = two(x, time)
            x = attend(x) + x
            kept.append(x)
            x = shrink(x)
        x = self.mid_block1(x, time)
        x = self.mid_block2(self.mid_attn(x) + x, time)
        for one, two, attend, grow in _levels(self.ups):
            x = one(torch.cat([x, kept.pop()], 1), time)
            x = two(torch.cat([x, kept.pop()], 1), time)
            x = grow(attend(x) + x)
        return self.final_conv(self.final_res_block(torch.cat([x, first], 1), time))


def _levels(levels: nn.ModuleList) -> list[Any]:
    return list(levels)


def _half(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * before, after, 1))


def _double(before: int, after: int) -> nn.Module:
    grow = nn.Upsample(scale_factor=2, mode="nearest")
    return nn.Sequential(grow, nn.Conv2d(before, after, 3, padding=1))


class _Norm(nn.Module):
    """Every cell brought to the same length over its channels, with a gain."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1) * self.g * x.shape[1] ** 0.5


class _Conv(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(before, after, 3, padding=1)
        self.norm = _Norm(after)

    def forward(self, x: Tensor, modulation: tuple[Tensor, Tensor] | None = None) -> Tensor:
        x = self.norm(self.proj(x))
        if modulation is not None:
            scale, shift = modulation
            x = x * (1 + scale) + shift
        return F.silu(x)


class _Residual(nn.Module):
    def __init__(self, before: int, after: int, time: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time, 2 * after))
        self.block1 = _Conv(before, after)
        self.block2 = _Conv(after, after)
        self.res_conv = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.mlp(time)[:, :, None, None].chunk(2, 1)
        return self.block2(self.block1(x, (scale, shift))) + self.res_conv(x)


class _LinearAttention(nn.Module):
    """Attention whose cost grows with the number of cells (Shen et al. 2021), 4 learned cells."""

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = _Norm(width)
        self.mem_kv = nn.Parameter(torch.randn(2, heads, head_dim, 4))
        self.to_qkv = nn.Conv2d(width, 3 * heads * head_dim, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(heads * head_dim, width, 1), _Norm(width))

    def forward(self, x: Tensor) -> Tensor:
        flat = self.to_qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1))
        q, k, v = flat.unbind(1)
        keys, values = self.mem_kv.expand(x.shape[0], -1, -1, -1, -1).unbind(1)
        k, v = torch.cat([keys, k], -1), torch.cat([values, v], -1)
        q = q.softmax(-2) * q.shape[-2] ** -0.5
        said = (v @ k.softmax(-1).mT) @ q
        return self.to_out(said.flatten(1, 2).unflatten(2, x.shape[2:]))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = _Norm(width)
        self.mem_kv = nn.Parameter(torch.randn(2, heads, 4, head_dim))
        self.to_qkv = nn.Conv2d(width, 3 * heads * head_dim, 1, bias=False)
        self.to_out = nn.Conv2d(heads * head_dim, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.to_qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1))
        q, k, v = flat.transpose(3, 4).unbind(1)
        keys, values = self.mem_kv.expand(x.shape[0], -1, -1, -1, -1).unbind(1)
        k, v = torch.cat([keys, k], 2), torch.cat([values, v], 2)
        said = F.scaled_dot_product_attention(q, k, v)
        return self.to_out(said.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:]))
