"""Who listens to whom in gated self-attention: a lesson that speeds the training of `gligen-tiny`.

From the denoiser's loss alone the picture's tokens need very long to find out that a grounded
token means those inside its box. The recipe therefore adds a loss on the attention itself: inside
a box its token is heard, outside it is not. It touches no weight but those of the gated layers,
and is not needed afterwards.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor

_LEAST = 1e-4


class Listening:
    """An attention processor with an explicit softmax that keeps what it has computed."""

    def __init__(self) -> None:
        """Nothing is kept before the first call."""
        self.kept: Tensor | None = None
        """(B, heads, L, L): who (third axis) listens to whom, with gradients."""

    def __call__(self, attn: Attention, hidden_states: Tensor, **_: Any) -> Tensor:
        """Self-attention of tokens (B, L, D)."""
        layer = cast(Any, attn)
        query, key, value = (
            layer.head_to_batch_dim(project(hidden_states))
            for project in (layer.to_q, layer.to_k, layer.to_v)
        )
        found = cast(Tensor, layer.get_attention_scores(query, key))
        self.kept = found.unflatten(0, (-1, layer.heads))
        out = layer.batch_to_head_dim(torch.bmm(found, value))
        return layer.to_out[0](out)


def listen(unet: UNet2DConditionModel) -> list[Listening]:
    """Put a `Listening` into every gated layer of a UNet; they are in the order of its modules."""
    found: list[Listening] = []
    for name, module in unet.named_modules():
        if name.endswith(".fuser"):
            made = Listening()
            cast(Any, module).attn.set_processor(made)
            found.append(made)
    return found


def inside(boxes: Tensor, there: Tensor, side: int) -> Tensor:
    """Which of side x side tokens are in which boxes.

    Args:
        boxes: (B, N, 4) as x0, y0, x1, y1 in fractions.
        there: (B, N), not zero where there is an object.
        side: Tokens along each side of the picture.

    Returns:
        (B, side * side, N) bool: the token's centre is in the box, or the box's is in the token.
    """
    middle = (torch.arange(side, device=boxes.device) + 0.5) / side
    x0, y0, x1, y1 = (value[:, None] for value in boxes.unbind(-1))
    reach = 0.5 / side

    def between(low: Tensor, high: Tensor) -> Tensor:
        at = middle[None, :, None]
        near = (at - (low + high) / 2).abs() <= reach
        return (at >= low) & (at <= high) | near

    rows, columns = between(y0, y1), between(x0, x1)
    both = rows[:, :, None] & columns[:, None]
    return both.flatten(1, 2) & (there[:, None] > 0)


def loss(layers: list[Listening], boxes: Tensor, there: Tensor) -> Tensor:
    """How far attention is from boxes, the mean over layers and tokens.

    The negative logarithm of the share that goes to the boxes' own tokens, for those of the
    picture inside of boxes; of the share that goes to no object, for those outside.

    Args:
        layers: Of `listen`, after a call of the UNet.
        boxes: (B, N, 4) as given to the UNet.
        there: (B, N), likewise.
    """
    parts: list[Tensor] = []
    for layer in layers:
        assert layer.kept is not None
        tokens = layer.kept.shape[-1] - boxes.shape[1]
        shares = layer.kept[:, :, :tokens, tokens:].float().mean(1)
        own = inside(boxes, there, math.isqrt(tokens))
        heard = (shares * own).sum(-1)
        other = (shares * ((there[:, None] > 0) & ~own)).sum(-1)
        wanted = torch.where(own.any(-1), heard, 1 - other)
        parts.append(-wanted.clamp(_LEAST, 1).log().mean())
    return torch.stack(parts).mean()
