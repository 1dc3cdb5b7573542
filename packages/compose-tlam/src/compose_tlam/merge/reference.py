"""TLAM as the paper says it, with nothing clever: what the fast path is compared with.

It materialises one-hot vectors, the tokens of all pixels and `nn.MultiheadAttention`, and takes
the mean last. At 256 x 256 it needs gigabytes; on CUDA its attention may refuse to launch.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_tlam.merge.block import Block
from compose_tlam.merge.interface import Merger, Strength, as_picture, as_pixels
from compose_tlam.merge.tlam import TLAM
from compose_tlam.stack import LabelStack

__all__ = ["NaiveTLAM"]


@final
class NaiveTLAM(Merger):
    """The weights of a `TLAM` in the most literal form.

    Args:
        tlam: Whose weights are copied; without noise.
    """

    def __init__(self, tlam: TLAM) -> None:
        super().__init__()
        self.labels, self.width, self.missing = tlam.labels, tlam.width, tlam.missing
        self.project = nn.ModuleDict(
            {one.name: nn.Linear(one.width, tlam.width) for one in tlam.labels}
        )
        for name, linear in self.project.items():
            assert isinstance(linear, nn.Linear)
            linear.weight.data.copy_(tlam.projection.matrix[name])
            linear.bias.data.copy_(tlam.projection.bias[name])
        self.position = nn.Parameter(tlam.position.detach().clone())
        for name in ("absent", "null"):
            own = getattr(tlam, name, None)
            if own is not None:
                self.register_parameter(name, nn.Parameter(own.detach().clone()))
        blocks = [block for block in tlam.blocks if isinstance(block, Block)]
        self.layers = nn.ModuleList(_NaiveBlock(block) for block in blocks)

    def forward(
        self,
        stack: LabelStack,
        strength: Strength | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """The concept tensor (B, d, H, W); see `TLAM`."""
        values, valid, weight = as_pixels(stack, strength, self.position.dtype)
        counts = torch.ones_like(valid, dtype=self.position.dtype) if weight is None else weight
        tokens: list[Tensor] = []
        for n, label in enumerate(self.labels):
            x = values[n]
            if label.discrete:
                x = F.one_hot(x, label.count).to(self.position.dtype) * valid[:, n, None]
            e = F.gelu(self.project[label.name](x))
            if self.missing == "mask_token":
                e = torch.where(valid[:, n, None], e, self.get_parameter("absent")[n])
            tokens.append(e + self.position[n])
        z = torch.stack(tokens, 1)
        if self.missing == "attention_mask":
            counts = counts * valid
        nothing = counts.sum(1) == 0
        counts = torch.where(nothing[:, None], torch.ones_like(counts), counts)
        for layer in self.layers:
            z = layer(z, counts)
        z = (z * counts[..., None]).sum(1) / counts.sum(1, keepdim=True)
        if self.missing == "attention_mask":
            z = torch.where(nothing[:, None], self.get_parameter("null"), z)
        return as_picture(z, stack.shape)


class _NaiveBlock(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        width = block.out.out_features
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, block.heads, batch_first=True)
        self.up = nn.Linear(width, block.up.out_features)
        self.down = nn.Linear(block.up.out_features, width)
        for mine, theirs in (
            (self.norm1, block.norm1),
            (self.norm2, block.norm2),
            (self.up, block.up),
            (self.down, block.down),
            (self.attention.out_proj, block.out),
        ):
            mine.load_state_dict(theirs.state_dict())
        self.attention.in_proj_weight.data.copy_(block.qkv.weight)
        self.attention.in_proj_bias.data.copy_(block.qkv.bias)

    def forward(self, z: Tensor, counts: Tensor) -> Tensor:
        y = self.norm1(z)
        mask = None
        if bool((counts != 1).any()):
            labels = z.shape[1]
            mask = counts.log()[:, None].expand(-1, labels, -1)
            mask = mask.repeat_interleave(self.attention.num_heads, 0)
        z = z + self.attention(y, y, y, attn_mask=mask, need_weights=False)[0]
        return z + self.down(F.gelu(self.up(self.norm2(z))))
