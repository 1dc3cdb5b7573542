"""The loss of the balancer: how much of the attention to an object's word lies outside its place.

Eq. 6 (boxes) and Eq. 9 (any region) of RealCompo, for each sample,

    L = sum over branches c, regions b of  1 - sum_i (A_ij . M_b)_i / sum_i A_ij,

where A (cells x tokens) is the cross-attention of branch c, averaged over heads and layers, j the
tokens of the phrase of region b, averaged, and M_b its binary mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from compose_core.errors import ShapeError

__all__ = ["attended", "outside"]


def attended(maps: Tensor, spans: Sequence[Sequence[int]]) -> Tensor:
    """Attention to each phrase: (B, regions, h, w) of maps (B, tokens, h, w).

    Args:
        maps: Attention of each cell to each token.
        spans: The tokens of each region's phrase; none for a region that says nothing.

    Raises:
        ShapeError: A token is not there.
    """
    tokens = maps.shape[1]
    for span in spans:
        if any(not 0 <= j < tokens for j in span):
            raise ShapeError(
                "a phrase has tokens that the network does not see",
                got=list(span),
                expected=f"positions from 0 to {tokens - 1}",
            )
    empty = torch.zeros_like(maps[:, 0]).detach()
    each = [maps[:, list(span)].mean(1) if len(span) else empty for span in spans]
    return torch.stack(each, 1)


def outside(attention: Tensor, masks: Tensor) -> Tensor:
    """Share of the attention to each phrase that lies outside its region: (B, regions).

    Regions without a phrase have no attention and count as inside: they give 0 and no gradient.

    Args:
        attention: (B, regions, h, w), not negative.
        masks: (regions, h, w) or (B, regions, h, w), 1 inside and 0 outside.

    Raises:
        ShapeError: The two do not fit.
    """
    if masks.shape[-3:] != attention.shape[-3:]:
        raise ShapeError(
            "the masks do not fit the attention",
            got=tuple(masks.shape),
            expected=f"(regions, h, w) = {tuple(attention.shape[1:])}",
        )
    total = attention.sum((-2, -1))
    inside = (attention * masks).sum((-2, -1))
    heard = total > 0
    return torch.where(heard, 1 - inside / torch.where(heard, total, 1), 0.0)
