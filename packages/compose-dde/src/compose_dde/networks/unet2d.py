"""The UNet for pictures with one object position, of "Reduce, Reuse, Recycle".

Du et al. 2023 (arXiv 2302.11552); the architecture is that of Dhariwal & Nichol 2021, residual
blocks also where the resolution changes. Written anew with the names that weights have there
(`input_blocks.4.0.in_layers.2.weight`). The paper's base model (appendix B.2.2) is
`PositionUNet(**CLEVR)`, 42.2M.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.encoded import Encoded
from compose_core.errors import UsageError
from compose_dde.networks.edm import Backbone

__all__ = ["CLEVR", "Place", "PositionUNet"]

Place = Literal["linear", "fourier", "mark"]
"""How a position is read: by a matrix (published weights), by Gaussian Fourier features (the
paper), or as a bump in a channel beside the colours, for networks that are too small to find the
place that numbers name."""

_MARK = 1 / 16
"""Standard deviation of the bump, as a share of the picture's width."""

CLEVR: dict[str, Any] = {
    "channels_in": 3,
    "channels": 128,
    "multipliers": (1, 2, 2, 2),
    "blocks": 2,
    "attentions": (2, 4, 8),
    "head_dim": 64,
    "place": "fourier",
}
"""Appendix B.2.2: pictures of 64 x 64, attention at 32, 16 and 8 cells."""


@final
class PositionUNet(Backbone):
    """Pictures `(B, C, H, W)`; reads `"position"` `(B, 2)`, x and y in [0, 1], negative for none.

    Args:
        channels_in: Colours.
        channels: Width of the first level.
        multipliers: Width of each level over that; the resolution halves between them.
        blocks: Residual blocks of each level.
        attentions: By how much the resolution is reduced where there is attention.
        head_dim: Dimensions of a head.
        place: How a position is read.
        channels_out: By default those that come in.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        multipliers: Sequence[int],
        blocks: int,
        attentions: Sequence[int],
        head_dim: int = 64,
        place: Place = "fourier",
        channels_out: int | None = None,
    ) -> None:
        super().__init__()
        if place not in get_args(Place):
            raise UsageError("unknown place", got=place, expected=", ".join(get_args(Place)))
        self._settings: dict[str, Any] = {
            "channels_in": channels_in,
            "channels": channels,
            "multipliers": tuple(multipliers),
            "blocks": blocks,
            "attentions": tuple(attentions),
            "head_dim": head_dim,
            "place": place,
            "channels_out": channels_out,
        }
        self.channels = channels
        told = 4 * channels
        self.time_embed = nn.Sequential(
            nn.Linear(channels, told), nn.SiLU(), nn.Linear(told, told)
        )
        if place == "fourier":
            self.fourier = nn.Parameter(torch.randn(channels), requires_grad=False)
            self.label_emb = nn.Linear(4 * channels, told)
        elif place == "linear":
            self.label_emb = nn.Linear(2, told)
        self.null_emb = nn.Embedding(1, told)

        width = channels * multipliers[0]
        first = nn.Conv2d(channels_in + (place == "mark"), width, 3, padding=1)
        self.input_blocks = nn.ModuleList([_Steps(first)])
        across = [width]
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                made: list[nn.Module] = [_Residual(width, channels * multiplier, told)]
                width = channels * multiplier
                if 2**level in attentions:
                    made.append(_Attention(width, head_dim))
                self.input_blocks.append(_Steps(*made))
                across.append(width)
            if level < len(multipliers) - 1:
                self.input_blocks.append(_Steps(_Residual(width, width, told, "down")))
                across.append(width)
        self.middle_block = _Steps(
            _Residual(width, width, told),
            _Attention(width, head_dim),
            _Residual(width, width, told),
        )
        self.output_blocks = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for i in range(blocks + 1):
                made = [_Residual(width + across.pop(), channels * multiplier, told)]
                width = channels * multiplier
                if 2**level in attentions:
                    made.append(_Attention(width, head_dim))
                if level and i == blocks:
                    made.append(_Residual(width, width, told, "up"))
                self.output_blocks.append(_Steps(*made))
        head = nn.Conv2d(width, channels_out or channels_in, 3, padding=1)
        self.out = nn.Sequential(_norm(width), nn.SiLU(), _zeroed(head))

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments."""
        return dict(self._settings)

    @property
    def grain(self) -> int:
        """The resolution halves between levels."""
        return 2 ** (len(self._settings["multipliers"]) - 1)

    def forward(self, x: Tensor, noise: Tensor, encoded: Encoded) -> Tensor:
        """See `Backbone`."""
        told = self.time_embed(self._waves(noise)) + self._place(x, encoded)
        if self._settings["place"] == "mark":
            x = torch.cat([x, _bump(x, encoded)], 1)
        kept: list[Tensor] = []
        for block in self.input_blocks:
            x = block(x, told)
            kept.append(x)
        x = self.middle_block(x, told)
        for block in self.output_blocks:
            x = block(torch.cat([x, kept.pop()], 1), told)
        return self.out(x)

    def _waves(self, noise: Tensor) -> Tensor:
        """Sines and cosines of the noise level, `(B, channels)`."""
        half = self.channels // 2
        steps = torch.arange(half, device=noise.device, dtype=torch.float32)
        by = noise[:, None].float() * torch.exp(-math.log(10_000) * steps / half)
        return torch.cat([by.cos(), by.sin()], 1).to(noise.dtype)

    def _place(self, x: Tensor, encoded: Encoded) -> Tensor:
        """The embedded position `(B, told)`; that of none where there is none."""
        none = self.null_emb.weight[0]
        if "position" not in encoded:
            return none.expand(x.shape[0], -1)
        where = encoded["position"].to(x.dtype)
        absent = where.amin(1, keepdim=True) < 0
        if self._settings["place"] == "mark":
            return absent * none
        read = where
        if self._settings["place"] == "fourier":
            by = 2 * math.pi * where[:, :, None] * self.fourier
            read = torch.cat([by.sin(), by.cos()], 2).flatten(1)
        return torch.where(absent, none, self.label_emb(read))


def _bump(x: Tensor, encoded: Encoded) -> Tensor:
    """A channel `(B, 1, H, W)` that is 1 at the position, and 0 everywhere if there is none."""
    height, width = x.shape[2:]
    if "position" not in encoded:
        return x.new_zeros(x.shape[0], 1, height, width)
    where = encoded["position"].to(x.dtype)
    rows, cols = ((torch.arange(n, device=x.device) + 0.5).to(x) / width for n in (height, width))
    gap_x, gap_y = cols - where[:, :1], rows - where[:, 1:] * (height / width)
    squares = gap_y[:, :, None] ** 2 + gap_x[:, None, :] ** 2
    there = (where.amin(1) >= 0)[:, None, None]
    return (there * (-squares / (2 * _MARK**2)).exp())[:, None]


class _Steps(nn.Sequential):
    """Layers in turn; those that want the noise level are told."""

    def forward(self, x: Tensor, told: Tensor) -> Tensor:  # pyright: ignore
        for layer in self:
            x = layer(x, told) if isinstance(layer, _Residual) else layer(x)
        return x


class _Residual(nn.Module):
    def __init__(
        self, before: int, after: int, told: int, resize: Literal["", "up", "down"] = ""
    ) -> None:
        super().__init__()
        self.resize = resize
        # Index 1 held an activation of its own before it was merged with the normalisation.
        convolve = nn.Conv2d(before, after, 3, padding=1)
        self.in_layers = nn.Sequential(_norm(before), nn.SiLU(), convolve)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(told, after))
        last = nn.Conv2d(after, after, 3, padding=1)
        self.out_layers = nn.Sequential(_norm(after), nn.SiLU(), nn.Identity(), _zeroed(last))
        straight = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        self.skip_connection = straight

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        h = self.in_layers[1](self.in_layers[0](x))
        h, x = self._resized(h), self._resized(x)
        h = self.in_layers[2](h) + self.emb_layers(told)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)

    def _resized(self, x: Tensor) -> Tensor:
        if self.resize == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.resize == "up" else x


class _Attention(nn.Module):
    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.heads = width // head_dim
        self.norm = _norm(width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = _zeroed(nn.Conv1d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        flat = self.qkv(self.norm(x.flatten(2)))
        # Heads first, then query, key and value of each.
        parts = flat.unflatten(1, (self.heads, 3, -1)).transpose(3, 4)
        said = F.scaled_dot_product_attention(*parts.unbind(2))
        return x + self.proj_out(said.transpose(2, 3).flatten(1, 2)).reshape(x.shape)


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, width), width)


def _zeroed(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
