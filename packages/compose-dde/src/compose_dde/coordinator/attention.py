"""Attention over windows: everybody hears everybody, or their neighbourhood.

With local attention window `i` hears, token by token, the windows that it reaches in at most `r`
hops, and of the others, if so asked, means of their keys and values over runs of tokens. The cost
then grows with the length of the object instead of its square. Windows with equally many
neighbours are answered together, so plain attention without a mask is all that is needed, and the
result is exactly that of full attention with a mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_dde.coordinator.layout import Group, Layout, pooled
from compose_dde.rope import turn

__all__ = ["Attention"]


@final
class Attention(nn.Module):
    """Multi-head self-attention with rotary positions on a stream `(B, W, S, d)`.

    Args:
        width: d.
        heads: How many.
        summaries: Summaries of each distant window; 0 for none.
    """

    def __init__(self, width: int, heads: int, summaries: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.summaries = summaries
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, layout: Layout, chunk: int | None = None) -> Tensor:
        """Attend.

        Args:
            x: `(B, W, S, d)`.
            layout: Positions and neighbourhoods.
            chunk: The most windows that are answered at once; None for all. The result is the
                same, up to rounding.
        """
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(3)
        distant = self._summarised(k, v, layout) if layout.summary is not None else None
        q, k = (turn(part, layout.cos, layout.sin) for part in (q, k))
        out = torch.empty_like(x) if not torch.is_grad_enabled() else None
        parts: list[tuple[Tensor, Tensor]] = []
        for group, rows in _pieces(layout, chunk):
            members = group.members[rows]
            keys, values = self._heard(k, v, group, rows, distant)
            said = _attend(q[:, members], keys, values)
            if out is None:
                parts.append((members, said))
            else:
                out[:, members] = said
        if out is None:
            order = torch.cat([members for members, _ in parts]).argsort()
            out = torch.cat([said for _, said in parts], 1)
            out = out[:, order] if len(parts) > 1 else out
        return self.proj(out)

    def _summarised(self, k: Tensor, v: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Means of keys and values `(B, W, g, H, d)`; keys are turned by their mean position."""
        assert layout.summary is not None
        inside = slice(0, layout.tokens)
        means = [pooled(part[:, :, inside].flatten(0, 1), self.summaries) for part in (k, v)]
        keys, values = (mean.unflatten(0, k.shape[:2]) for mean in means)
        return turn(keys, *layout.summary), values

    def _heard(
        self,
        k: Tensor,
        v: Tensor,
        group: Group,
        rows: slice,
        distant: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        """Keys and values `(B, G, n, H, d)` that some members of a group hear."""
        near = group.near[rows]
        keys, values = k[:, near], v[:, near]
        if group.turns is not None:
            keys = turn(keys, *(part[rows] for part in group.turns))
        keys, values = keys.flatten(2, 3), values.flatten(2, 3)
        if distant is None or not group.far.shape[1]:
            return keys, values
        far = group.far[rows]
        more, told = distant[0][:, far], distant[1][:, far]
        if group.far_turns is not None:
            more = turn(more, *(part[rows] for part in group.far_turns))
        return torch.cat([keys, more.flatten(2, 3)], 2), torch.cat([values, told.flatten(2, 3)], 2)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """`(B, G, S, H, d)` and keys `(B, G, n, H, d)` to `(B, G, S, H d)`."""
    lead = q.shape[:2]
    q, k, v = (part.flatten(0, 1).transpose(1, 2) for part in (q, k, v))
    said = F.scaled_dot_product_attention(q, k, v)
    return said.transpose(1, 2).flatten(2).unflatten(0, lead)


def _pieces(layout: Layout, chunk: int | None) -> Iterator[tuple[Group, slice]]:
    for group in layout.groups:
        count = len(group.members)
        size = chunk or count
        for start in range(0, count, size):
            yield group, slice(start, min(start + size, count))
