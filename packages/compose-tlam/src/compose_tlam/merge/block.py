"""One transformer block over the labels of one pixel (equations 2 and 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_core.errors import UsageError

__all__ = ["Block", "attend"]


class Block(nn.Module):
    """Pre-LN: `z += MSA(LN z)`, `z += MLP(LN z)`; tokens are the N labels of one pixel.

    Args:
        width: d, of the tokens.
        heads: Of the attention; they divide d.
        ratio: Width of the hidden layer of the MLP over d.

    Raises:
        UsageError: The heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, ratio: float) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise UsageError("heads share the width evenly", got=f"{width} / {heads}")
        hidden = round(width * ratio)
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def mixed(self, z: Tensor, bias: Tensor | None = None) -> Tensor:
        """Equation 2: (P, N, d) to (P, N, d); `bias` (P, N) is added to the logits of a key."""
        q, k, v = self._split(z)
        mask = None if bias is None else bias[:, None, None].to(q.dtype)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return z + self.out(seen.transpose(1, 2).flatten(2))

    def forward(self, z: Tensor, bias: Tensor | None = None) -> Tensor:
        """Equations 2 and 3."""
        z = self.mixed(z, bias)
        return z + self.down(F.gelu(self.up(self.norm2(z))))

    def averaged(self, z: Tensor, bias: Tensor | None, share: Tensor | None) -> Tensor:
        """Both equations and the mean over the labels: (P, d).

        The mean is taken before the last linear map, which is the same number at a fifth of its
        cost for five labels.

        Args:
            z: (P, N, d).
            bias: As in `mixed`.
            share: (P, N) of the mean, sums of 1; None for 1 / N.
        """
        z = self.mixed(z, bias)
        hidden = F.gelu(self.up(self.norm2(z)))
        return mean(z, share) + self.down(mean(hidden, share))

    def maps(self, z: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attention (P, heads, N, N) of each label to each."""
        q, k, _ = self._split(z)
        return attend(q, k, bias)

    def _split(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pixels, labels, width = z.shape
        qkv = self.qkv(self.norm1(z)).view(pixels, labels, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v


def attend(q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
    """Softmax of scaled dot products, written out: (P, heads, N, N)."""
    logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    return (logits if bias is None else logits + bias[:, None, None]).softmax(-1)


def mean(z: Tensor, share: Tensor | None) -> Tensor:
    """Mean over the labels (P, N, d) to (P, d), weighted by `share` (P, N)."""
    if share is None:
        return z.mean(1)
    return (z * share[..., None].to(z.dtype)).sum(1)


def log_weights(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Bias of keys, share of the mean, and where nothing counts, of weights (P, N) >= 0.

    Where all weights of a pixel are 0 every token counts the same, so that no softmax is empty.
    """
    nothing = weight.sum(1) <= 0
    weight = torch.where(nothing[:, None], torch.ones_like(weight), weight)
    return weight.log(), weight / weight.sum(1, keepdim=True), nothing
