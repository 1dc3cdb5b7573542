"""Exemplar embeddings to tokens that cross-attention hears beside the text.

Paper, section 3.3; the widths are those of the published network.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.attention import FeedForward
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from compose_core.errors import ShapeError, UsageError

__all__ = ["GlobalFuser", "Stream"]

Stream = Literal["fg", "bg"]
"""The foreground's weights or the background's."""


class GlobalFuser(ModelMixin, ConfigMixin):
    """Two stacks of feed-forward layers, one for each stream: an embedding becomes N tokens.

    A missing exemplar is a zero embedding; the tokens it becomes are learned (`null`). There is no
    residual path and no norm at the end.

    Args:
        embedding_dim: D of the picture encoder, whose projected embeddings are *not* normalised.
        width: Of a token: the `cross_attention_dim` of the UNet.
        tokens: N, tokens for each exemplar.
        dropout: Of the two feed-forward layers, while training.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        embedding_dim: int = 768,
        width: int = 768,
        tokens: int = 4,
        dropout: tuple[float, float] = (0.1, 0.3),
    ) -> None:
        super().__init__()
        self.embedding_dim, self.width, self.tokens = embedding_dim, width, tokens
        rates = (float(dropout[0]), float(dropout[1]))
        self.fg = _Stack(embedding_dim, tokens * width, rates)
        self.bg = _Stack(embedding_dim, tokens * width, rates)

    @classmethod
    def fresh(
        cls,
        embedding_dim: int = 768,
        width: int = 768,
        tokens: int = 4,
        generator: torch.Generator | None = None,
    ) -> GlobalFuser:
        """A fuser with random weights drawn from `generator`; by default one of seed 0."""
        draw = torch.Generator().manual_seed(0) if generator is None else generator
        with torch.random.fork_rng(devices=[]):  # the default draws are replaced
            made = cls(embedding_dim, width, tokens)
        for module in made.modules():
            if isinstance(module, nn.Linear):
                bound = module.in_features**-0.5
                nn.init.uniform_(module.weight, -bound, bound, generator=draw)
                nn.init.uniform_(module.bias, -bound, bound, generator=draw)
        return made

    def forward(self, embedding: Tensor, stream: Stream) -> Tensor:
        """Tokens (B, N, width) of embeddings (B, D).

        Raises:
            UsageError: There is no such stream.
            ShapeError: The embedding comes from an encoder of another width.
        """
        if stream not in ("fg", "bg"):
            raise UsageError("no such stream", got=stream, expected="'fg' or 'bg'")
        if embedding.dim() != 2 or embedding.shape[1] != self.embedding_dim:
            raise ShapeError(
                "this picture embedding belongs to another encoder",
                got=tuple(embedding.shape),
                expected=f"(B, {self.embedding_dim})",
                remedy="use the picture encoder that the fuser was trained with",
            )
        stack = self.fg if stream == "fg" else self.bg
        return stack(embedding).reshape(-1, self.tokens, self.width)

    def null(self, stream: Stream) -> Tensor:
        """Tokens (1, N, width) of a missing exemplar."""
        weight = cast(Tensor, self.fg.norm1.weight)
        return self(weight.new_zeros(1, self.embedding_dim), stream)


class _Stack(nn.Module):
    """`dim -> 2 dim -> out`: twice a norm and a gated feed-forward layer, four times as wide."""

    def __init__(self, dim: int, out: int, dropout: tuple[float, float]) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.ff1 = FeedForward(dim, 2 * dim, mult=4, dropout=dropout[0], activation_fn="geglu")
        self.norm2 = nn.LayerNorm(2 * dim)
        self.ff2 = FeedForward(2 * dim, out, mult=4, dropout=dropout[1], activation_fn="geglu")

    def forward(self, x: Tensor) -> Tensor:
        return self.ff2(self.norm2(self.ff1(self.norm1(x))))
