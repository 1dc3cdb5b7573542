"""Layers of `UNet1d`, with the names of audio-diffusion-pytorch 0.0.43."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.errors import ShapeError

__all__ = ["Attend1d", "Features", "Gather", "Residual", "Transformer1d", "Unfold", "check_length"]


def check_length(x: Tensor, grain: int) -> None:
    """Refuse a sound `(B, S, T)` that a network cannot cut evenly.

    Raises:
        ShapeError: T is no multiple of `grain`.
    """
    if x.shape[-1] % grain:
        raise ShapeError(
            "the length of a sound does not fit the network",
            got=f"{x.shape[-1]} samples",
            expected=f"a multiple of {grain}",
        )


@final
class Features(nn.Module):
    """A number and the sines and cosines of its learned multiples: `(B,)` to `(B, dim + 1)`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(dim // 2))

    def forward(self, x: Tensor) -> Tensor:
        """The features."""
        by = 2 * math.pi * x[:, None] * self.weights
        return torch.cat([x[:, None], by.sin(), by.cos()], 1)


class _Conv(nn.Module):
    """Normalise, modulate, activate, convolve."""

    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.groupnorm = nn.GroupNorm(math.gcd(groups, before), before)
        self.project = nn.Conv1d(before, after, 3, padding=1)

    def forward(self, x: Tensor, modulation: tuple[Tensor, Tensor] | None = None) -> Tensor:
        x = self.groupnorm(x)
        if modulation is not None:
            scale, shift = modulation
            x = x * (1 + scale) + shift
        return self.project(F.silu(x))


class _Modulation(nn.Module):
    def __init__(self, told: int, width: int) -> None:
        super().__init__()
        self.to_scale_shift = nn.Sequential(nn.SiLU(), nn.Linear(told, 2 * width))

    def forward(self, told: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.to_scale_shift(told)[..., None].chunk(2, 1)
        return scale, shift


@final
class Residual(nn.Module):
    """Two convolutions, the second modulated by the noise level, beside a straight way."""

    def __init__(self, before: int, after: int, told: int, groups: int) -> None:
        super().__init__()
        self.block1 = _Conv(before, after, groups)
        self.to_scale_shift = _Modulation(told, after)
        self.block2 = _Conv(after, after, groups)
        self.to_out = nn.Identity() if before == after else nn.Conv1d(before, after, 1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """`(B, before, T)` to `(B, after, T)`."""
        h = self.block2(self.block1(x), self.to_scale_shift(told))
        return h + self.to_out(x)


class _Patched(nn.Module):
    def __init__(self, before: int, after: int, told: int, groups: int) -> None:
        super().__init__()
        self.block = Residual(before, after, told, groups)


@final
class Gather(nn.Module):
    """A block, then `patch` samples beside each other: `(B, S, T)` to `(B, C, T / patch)`."""

    def __init__(self, before: int, after: int, patch: int, told: int) -> None:
        super().__init__()
        self.patch = patch
        made = _Patched(before, after // patch, told, min(patch, before))
        self.module_list = nn.ModuleList([made])

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Gather."""
        h: Tensor = self.module_list[0].block(x, told)  # type: ignore[operator]
        return h.unflatten(2, (-1, self.patch)).transpose(2, 3).flatten(1, 2)


@final
class Unfold(nn.Module):
    """The way back: `(B, C, T / patch)` to `(B, S, T)`."""

    def __init__(self, before: int, after: int, patch: int, told: int) -> None:
        super().__init__()
        self.patch = patch
        made = _Patched(before // patch, after, told, min(patch, after))
        self.module_list = nn.ModuleList([made])

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Lay samples out again."""
        h = x.unflatten(1, (-1, self.patch)).transpose(2, 3).flatten(2)
        return self.module_list[0].block(h, told)  # type: ignore[operator]


class _Norm(nn.Module):
    """Layer normalisation over the axis of channels, with a gain and without an offset."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(shape))
        self.axis = 1 if len(shape) > 1 else -1

    def forward(self, x: Tensor) -> Tensor:
        var, mean = torch.var_mean(x, self.axis, correction=0, keepdim=True)
        return (x - mean) * (var + 1e-5).rsqrt() * self.g


class _Answer(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.to_out = nn.Sequential(nn.Linear(inner, width, bias=False), _Norm(width))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = _Norm(width)
        self.to_q = nn.Linear(width, heads * head_dim, bias=False)
        self.to_kv = nn.Linear(width, 2 * heads * head_dim, bias=False)
        self.attention = _Answer(width, heads * head_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        parts = (self.to_q(x), *self.to_kv(x).chunk(2, -1))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        said = F.scaled_dot_product_attention(q, k, v)
        return self.attention.to_out(said.transpose(1, 2).flatten(2))


@final
class Attend1d(nn.Module):
    """Self-attention along a sound `(B, C, T)`."""

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.fn = _Attention(width, heads, head_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        return self.fn(x.transpose(1, 2)).transpose(1, 2)


@final
class Transformer1d(nn.Module):
    """Attention and a feed-forward layer, each added to what it heard."""

    def __init__(self, width: int, heads: int, head_dim: int, feed: int) -> None:
        super().__init__()
        inner = feed * width
        self.attention = Attend1d(width, heads, head_dim)
        self.feed_forward = nn.Sequential(
            _Norm(1, width, 1),
            nn.Conv1d(width, inner, 1, bias=False),
            nn.GELU(),
            _Norm(1, inner, 1),
            nn.Conv1d(inner, width, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, T)`."""
        x = x + self.attention(x)
        return x + self.feed_forward(x)
