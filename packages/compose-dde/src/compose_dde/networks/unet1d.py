"""The UNet for sounds of multi-source diffusion models.

Mariani et al. 2024 (arXiv 2302.02257) took it from audio-diffusion-pytorch 0.0.43. It is written
here anew, with the names that weights have there, so that checkpoints fit
(`downsamples.0.blocks.1.block2.project.weight`). The paper's base model (appendix B.1.2) is
`UNet1d(**MSDM)`, 405.5M.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from compose_core.encoded import Encoded
from compose_core.errors import UsageError
from compose_dde.networks.edm import Backbone
from compose_dde.networks.layers1d import (
    Attend1d,
    Features,
    Gather,
    Residual,
    Transformer1d,
    Unfold,
    check_length,
)

__all__ = ["MSDM", "UNet1d"]

MSDM: dict[str, Any] = {
    "channels_in": 4,
    "channels": 256,
    "patch": 16,
    "multipliers": (1, 2, 4, 4, 4, 4, 4),
    "factors": (4, 4, 4, 2, 2, 2),
    "blocks": (2, 2, 2, 2, 2, 2),
    "attentions": (False, False, False, True, True, True),
    "heads": 8,
    "head_dim": 128,
}
"""Appendix B.1.2: four stems, at least 8192 samples at a time."""


@final
class UNet1d(Backbone):
    """Sounds `(B, S, T)`; reads no condition.

    Args:
        channels_in: Stems S.
        channels: Width after the first layer.
        patch: Samples that the first layer gathers.
        multipliers: Width at each level, the first before any.
        factors: How much each level shortens.
        blocks: Residual blocks of each level.
        attentions: Which levels have a transformer layer.
        heads: Of the attention.
        head_dim: Dimensions of a head.
        groups: Of the normalisation.
        feed: Width of feed-forward layers over that of their level.
        channels_out: By default those that come in.

    Raises:
        UsageError: The lists are not of equal length.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        patch: int,
        multipliers: Sequence[int],
        factors: Sequence[int],
        blocks: Sequence[int],
        attentions: Sequence[bool],
        heads: int = 8,
        head_dim: int = 128,
        groups: int = 8,
        feed: int = 2,
        channels_out: int | None = None,
    ) -> None:
        super().__init__()
        lengths = {len(multipliers) - 1, len(factors), len(blocks), len(attentions)}
        if len(lengths) != 1 or channels % patch:
            raise UsageError(
                "the levels of a UNet do not fit together",
                got=f"{len(multipliers)} widths, {len(factors)} factors, {len(blocks)} blocks, "
                f"{len(attentions)} attentions, {channels} channels in patches of {patch}",
                expected="one width more than the others, channels a multiple of the patch",
            )
        self._settings: dict[str, Any] = {
            "channels_in": channels_in,
            "channels": channels,
            "patch": patch,
            "multipliers": tuple(multipliers),
            "factors": tuple(factors),
            "blocks": tuple(blocks),
            "attentions": tuple(attentions),
            "heads": heads,
            "head_dim": head_dim,
            "groups": groups,
            "feed": feed,
            "channels_out": channels_out,
        }
        told = 4 * channels
        widths = [channels * m for m in multipliers]
        self.to_mapping = nn.Sequential(
            nn.Linear(told, told), nn.GELU(), nn.Linear(told, told), nn.GELU()
        )
        features = nn.Sequential(Features(channels), nn.Linear(channels + 1, told))
        self.to_time = nn.Sequential(features, nn.GELU())
        self.to_in = Gather(channels_in, channels, patch, told)
        levels = list(zip(widths, widths[1:], factors, blocks, attentions, strict=False))
        heard = (heads, head_dim, feed)
        self.downsamples = nn.ModuleList(
            _Down(a, b, f, n, told, groups, heard if attends else None)
            for a, b, f, n, attends in levels
        )
        self.bottleneck = _Middle(widths[-1], told, groups, heads, head_dim)
        self.upsamples = nn.ModuleList(
            _Up(b, a, f, n + attends, told, groups, heard if attends else None)
            for a, b, f, n, attends in reversed(levels)
        )
        self.to_out = Unfold(channels, channels_out or channels_in, patch, told)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments."""
        return dict(self._settings)

    @property
    def grain(self) -> int:
        """Samples of a sound must be a multiple of this."""
        found = self._settings["patch"]
        for factor in self._settings["factors"]:
            found *= factor
        return found

    def forward(self, x: Tensor, noise: Tensor, encoded: Encoded) -> Tensor:
        """See `Backbone`.

        Raises:
            ShapeError: The length is no multiple of `grain`.
        """
        check_length(x, self.grain)
        told = self.to_mapping(self.to_time(noise))
        x = first = self.to_in(x, told)
        kept: list[list[Tensor]] = []
        for level in self.downsamples:
            x, skips = level(x, told)
            kept.append(skips)
        x = self.bottleneck(x, told)
        for level in self.upsamples:
            x = level(x, kept.pop(), told)
        return self.to_out(x + first, told)


class _Down(nn.Module):
    """Shorten, then blocks; the result of each goes across."""

    def __init__(
        self,
        before: int,
        after: int,
        factor: int,
        count: int,
        told: int,
        groups: int,
        attends: tuple[int, int, int] | None,
    ) -> None:
        super().__init__()
        self.downsample = nn.Conv1d(before, after, 2 * factor + 1, factor, factor)
        self.blocks = nn.ModuleList(Residual(after, after, told, groups) for _ in range(count))
        if attends is not None:
            self.transformer = Transformer1d(after, *attends)

    def forward(self, x: Tensor, told: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = self.downsample(x)
        skips: list[Tensor] = []
        for block in self.blocks:
            x = block(x, told)
            skips.append(x)
        if "transformer" in self._modules:
            x = self.transformer(x)
            skips.append(x)
        return x, skips


class _Middle(nn.Module):
    def __init__(self, width: int, told: int, groups: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.pre_block = Residual(width, width, told, groups)
        self.attention = Attend1d(width, heads, head_dim)
        self.post_block = Residual(width, width, told, groups)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        # Without a residual connection around the attention, as its weights were trained.
        return self.post_block(self.attention(self.pre_block(x, told)), told)


class _Up(nn.Module):
    """Blocks, each beside what came across, then lengthen."""

    def __init__(
        self,
        before: int,
        after: int,
        factor: int,
        count: int,
        told: int,
        groups: int,
        attends: tuple[int, int, int] | None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Residual(2 * before, before, told, groups) for _ in range(count)
        )
        if attends is not None:
            self.transformer = Transformer1d(before, *attends)
        self.upsample = nn.ConvTranspose1d(
            before, after, 2 * factor, factor, factor // 2 + factor % 2, factor % 2
        )

    def forward(self, x: Tensor, skips: list[Tensor], told: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(torch.cat([x, skips.pop() * 2**-0.5], 1), told)
        if "transformer" in self._modules:
            x = self.transformer(x)
        return self.upsample(x)
