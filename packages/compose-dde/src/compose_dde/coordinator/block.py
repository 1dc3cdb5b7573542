"""One layer: adaLN-Zero of diffusion transformers, with a second kind of token or of sample.

Peebles & Xie 2023 (arXiv 2212.09748), section 3.2: every sublayer is normalised without gains,
scaled and shifted by the noise level, and enters through a gate that is zero before training.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from compose_dde.coordinator.attention import Attention
from compose_dde.coordinator.config import CoordinatorConfig
from compose_dde.coordinator.layout import Layout

__all__ = ["Block", "modulate"]


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """`(1 + scale) x + shift` on a stream `(B, W, S, d)`, with `(B, d)` for each sample."""
    return x * (1 + scale[:, None, None]) + shift[:, None, None]


def _mlp(width: int, ratio: float) -> nn.Sequential:
    inner = int(width * ratio)
    return nn.Sequential(
        nn.Linear(width, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, width)
    )


@final
class Block(nn.Module):
    """Attention, then an MLP on each token.

    Args:
        config: The numbers.
    """

    def __init__(self, config: CoordinatorConfig) -> None:
        super().__init__()
        d = config.width
        self.norm1 = nn.LayerNorm(d, elementwise_affine=False, eps=1e-6)
        self.attention = Attention(d, config.heads, config.summaries)
        self.norm2 = nn.LayerNorm(d, elementwise_affine=False, eps=1e-6)
        self.mlp = _mlp(d, config.mlp_ratio)
        self.context_mlp = _mlp(d, config.mlp_ratio) if config.second == "mlp" else None
        self.second = config.second
        count = 6 if config.second == "none" else 9
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(d, count * d))

    def forward(
        self, x: Tensor, c: Tensor, layout: Layout, null: Tensor | None, chunk: int | None
    ) -> Tensor:
        """One layer.

        Args:
            x: The stream `(B, W, S, d)`.
            c: The embedded noise level `(B, d)`.
            layout: Positions and neighbourhoods.
            null: For each sample whether its conditions are absent.
            chunk: The most windows of a stream that are worked on at once, without gradients.
        """
        own, other = self._modulations(c, null)
        shift, scale, gate = own[:3]
        heard = self.attention(modulate(self.norm1(x), shift, scale), layout, chunk)
        x = x + gate[:, None, None] * heard
        if chunk is None or torch.is_grad_enabled() or chunk >= x.shape[1]:
            return x + self._each(x, own[3:], other, layout.tokens)
        for start in range(0, x.shape[1], chunk):
            piece = x[:, start : start + chunk]
            piece += self._each(piece, own[3:], other, layout.tokens)
        return x

    def _modulations(
        self, c: Tensor, null: Tensor | None
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Six vectors, and three for the MLP of context tokens."""
        found = self.modulation(c).chunk(6 if self.second == "none" else 9, 1)
        if self.second == "modulation" and null is not None:
            absent = null.to(c.device).expand(c.shape[0])[:, None]
            chosen = [
                torch.where(absent, b, a) for a, b in zip(found[3:6], found[6:], strict=True)
            ]
            return (*found[:3], *chosen), ()
        return found[:6], found[6:]

    def _each(
        self, x: Tensor, own: tuple[Tensor, ...], other: tuple[Tensor, ...], tokens: int
    ) -> Tensor:
        """The second sublayer: nothing is said between tokens."""
        shift, scale, gate = own
        if self.context_mlp is None:
            return gate[:, None, None] * self.mlp(modulate(self.norm2(x), shift, scale))
        mine, context = x[:, :, :tokens], x[:, :, tokens:]
        told = gate[:, None, None] * self.mlp(modulate(self.norm2(mine), shift, scale))
        shift, scale, gate = other
        more = self.context_mlp(modulate(self.norm2(context), shift, scale))
        return torch.cat([told, gate[:, None, None] * more], 2)
