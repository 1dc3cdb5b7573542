"""Feature denormalisation, and the residual block that hears depth through it.

As in Uni-ControlNet (Zhao et al. 2023, arXiv 2305.16322) after SPADE (Park et al. 2019, arXiv
1903.07291): a normalisation without weights, whose scale and shift are read off a feature map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FDN", "Coefficients", "LocalResnet", "Modulation", "ResnetModulation"]


class Coefficients(NamedTuple):
    """Scale and shift of one normalisation, each (B, C, h, w)."""

    gamma: Tensor
    beta: Tensor


class ResnetModulation(NamedTuple):
    """Coefficients of the two normalisations of a residual block."""

    norm_in: Coefficients
    norm_out: Coefficients


@dataclass(frozen=True)
class Modulation:
    """All that the clone takes from the depth maps; constant over a run.

    Attributes:
        levels: For the first residual block of each resolution, the finest first.
    """

    levels: tuple[ResnetModulation, ...]

    def named(self) -> dict[str, Tensor]:
        """Every tensor under a name such as `"0.norm_in.gamma"`."""
        return {
            f"{i}.{norm}.{part}": getattr(getattr(level, norm), part)
            for i, level in enumerate(self.levels)
            for norm in ResnetModulation._fields
            for part in Coefficients._fields
        }

    @classmethod
    def from_named(cls, tensors: Mapping[str, Tensor]) -> Modulation:
        """The inverse of `named`."""
        count = len({name.partition(".")[0] for name in tensors})

        def norm(i: int, name: str) -> Coefficients:
            return Coefficients(*(tensors[f"{i}.{name}.{x}"] for x in Coefficients._fields))

        levels = (
            ResnetModulation(*(norm(i, name) for name in ResnetModulation._fields))
            for i in range(count)
        )
        return cls(tuple(levels))


class FDN(nn.Module):
    """`FDN(x; gamma, beta) = GroupNorm(x) (1 + gamma) + beta`, the norm without weights.

    `gamma` and `beta` are single 3x3 convolutions of a feature of the same resolution. They do not
    depend on `x`, so `coefficients` is called once for all steps of a run.

    Args:
        channels: Of `x`.
        feature_channels: Of the feature.
        groups: Of the normalisation.
        eps: Of the normalisation.
    """

    def __init__(
        self, channels: int, feature_channels: int, groups: int = 32, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=eps, affine=False)
        self.gamma = nn.Conv2d(feature_channels, channels, 3, padding=1)
        self.beta = nn.Conv2d(feature_channels, channels, 3, padding=1)

    def coefficients(self, feature: Tensor) -> Coefficients:
        """Scale and shift (B, channels, h, w) that a feature (B, feature_channels, h, w) asks."""
        return Coefficients(self.gamma(feature), self.beta(feature))

    def forward(self, x: Tensor, given: Coefficients) -> Tensor:
        """`x` (B, channels, h, w), normalised and modulated."""
        return self.norm(x) * (1 + given.gamma) + given.beta

    @torch.no_grad()
    def take(self, norm: nn.GroupNorm) -> None:
        """Start as that norm: equal to it wherever the feature is zero."""
        bias = cast(Tensor, self.gamma.bias)
        bias.copy_(norm.weight - 1)
        cast(Tensor, self.beta.bias).copy_(norm.bias)


class LocalResnet(nn.Module):
    """diffusers' `ResnetBlock2D` with both of its normalisations replaced by `FDN`.

    Args:
        in_channels: Of the input.
        out_channels: Of the output; where they differ, a 1x1 convolution carries the input across.
        time_channels: Of the time embedding.
        feature_channels: Of the depth feature.
        groups: Of the normalisations.
        eps: Of the normalisations.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        time_channels: int,
        feature_channels: int,
        groups: int = 32,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.norm_in = FDN(in_channels, feature_channels, groups, eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_channels, out_channels)
        self.norm_out = FDN(out_channels, feature_channels, groups, eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        same = in_channels == out_channels
        self.conv_shortcut = None if same else nn.Conv2d(in_channels, out_channels, 1)

    def modulation(self, feature: Tensor) -> ResnetModulation:
        """What both normalisations make of the depth feature of this resolution."""
        return ResnetModulation(
            self.norm_in.coefficients(feature), self.norm_out.coefficients(feature)
        )

    def forward(self, x: Tensor, time: Tensor, given: ResnetModulation) -> Tensor:
        """The block's output (B, out_channels, h, w).

        Args:
            x: (B, in_channels, h, w).
            time: Embedding (B, time_channels).
            given: From `modulation`.
        """
        hidden = self.conv1(F.silu(self.norm_in(x, given.norm_in)))
        hidden = hidden + self.time_emb_proj(F.silu(time))[:, :, None, None]
        hidden = self.conv2(F.silu(self.norm_out(hidden, given.norm_out)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + hidden

    def take(self, resnet: nn.Module) -> None:
        """Copy the weights of a `ResnetBlock2D` of the same size, its norms as `FDN.take` does."""
        source = cast(Any, resnet)
        self.norm_in.take(source.norm1)
        self.norm_out.take(source.norm2)
        for name in ("conv1", "time_emb_proj", "conv2"):
            getattr(self, name).load_state_dict(getattr(source, name).state_dict())
        if self.conv_shortcut is not None:
            self.conv_shortcut.load_state_dict(source.conv_shortcut.state_dict())
