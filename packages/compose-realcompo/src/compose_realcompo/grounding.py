"""GLIGEN: a UNet that hears phrases in boxes through gated self-attention.

Li et al. 2023 (arXiv 2301.07093), as `UNet2DConditionModel(attention_type="gated")` of diffusers
has it: each box with the embedding of its phrase becomes a token, and a gated layer between self-
and cross-attention looks at these. Missing tokens are learned ones, so a question without boxes
is one with only missing tokens; it is what classifier-free guidance asks on its other side.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from compose_core.backbones import ConditionedUNet, TextEncoder
from compose_core.backbones.unet import PredictionType
from compose_core.conditions import Box
from compose_core.encoded import Encoded
from compose_core.errors import UsageError, WeightsError
from compose_core.prediction import Prediction
from compose_core.schedule import Level, Schedule

__all__ = ["LIMIT", "GatedUNet", "embed_phrases", "grounded"]

LIMIT = 30
"""Boxes at most, as in the published training."""


@final
class GatedUNet(ConditionedUNet):
    """A gated UNet; reads `"text"` and, for N boxes, `"boxes"`, `"phrases"` and `"present"`.

    These are (B, N, 4) as fractions of the canvas, (B, N, D), and (B, N) of 0 and 1.
    Without boxes in a question the gated layers are left out and it is the UNet that it was made
    from.

    Args:
        unet: A `UNet2DConditionModel` with gated layers.
        schedule: The one it was trained on.
        prediction_type: What it puts out.
        on: Share of the walk, from its noisy end, during which boxes are heard fully: beta = 1 in
            the original's schedule. RealCompo hears them throughout.
        fade: Share of the walk during which beta then falls to 0.
        room: How many tokens of boxes it was trained to hear, missing ones included.
        factor: See `ConditionedUNet`.

    Raises:
        WeightsError: The UNet has no gated layers.
        UsageError: The two shares make no sense.
    """

    def __init__(
        self,
        unet: nn.Module,
        schedule: Schedule,
        prediction_type: PredictionType,
        *,
        on: float = 1.0,
        fade: float = 0.0,
        room: int = LIMIT,
        factor: int = 8,
    ) -> None:
        super().__init__(unet, schedule, prediction_type, factor=factor)
        kind = cast(Any, unet).config.get("attention_type")
        if kind != "gated":
            raise WeightsError(
                "this UNet does not hear boxes",
                got=f"attention_type = {kind!r}",
                expected="'gated'",
                remedy="give a GLIGEN model with boxes and phrases",
            )
        if not (0 <= on <= 1 and 0 <= fade <= 1 - on + 1e-9):
            raise UsageError(
                "the gates make no schedule", got=f"on={on}, fade={fade}", expected="shares of one"
            )
        self.on, self.fade, self.room = on, fade, room

    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """Predict `x0`; see `ConditionedUNet`."""
        beta = self._beta(self.schedule.match(level).t)
        if "boxes" in encoded and bool((beta > 0).any()):
            with _scaled(self.unet, beta):
                return super().forward(x_t, level, encoded)
        without = {k: v for k, v in encoded.items() if k not in ("boxes", "phrases", "present")}
        return super().forward(x_t, level, Encoded(without))

    def additions(self, x: Tensor, t: Tensor, text: Tensor, encoded: Encoded) -> dict[str, Any]:
        """Boxes, where there are any."""
        if "boxes" not in encoded:
            return {}
        given = {
            "boxes": encoded["boxes"].to(self.dtype),
            "positive_embeddings": encoded["phrases"].to(self.dtype),
            "masks": encoded["present"].to(self.dtype),
        }
        return {"cross_attention_kwargs": {"gligen": given}}

    def _beta(self, t: Tensor) -> Tensor:
        """How far the gates are open, () or (B,), by how much of the walk lies behind."""
        passed = 1 - t / (len(cast(Any, self.schedule).alphas_cumprod) - 1)
        if self.fade == 0:
            return (passed < self.on).to(t.dtype) if self.on < 1 else torch.ones_like(t)
        return ((self.on + self.fade - passed) / self.fade).clamp(0, 1)


def embed_phrases(text: TextEncoder, phrases: Sequence[str]) -> Tensor:
    """The pooled embedding of each phrase (N, D), as GLIGEN takes it."""
    if not phrases:
        width = cast(Any, text.text_encoder).config.hidden_size
        return torch.zeros(0, width)
    ids = text.tokenizer(
        list(phrases),
        padding="max_length",
        max_length=text.length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    weight = next(text.text_encoder.parameters())
    with torch.no_grad():
        return cast(Any, text.text_encoder)(ids.to(weight.device)).pooler_output


def grounded(
    boxes: Sequence[Box], embeddings: Tensor, device: torch.device | str, room: int = LIMIT
) -> tuple[Encoded, Encoded]:
    """What a `GatedUNet` hears of boxes, and of none, each of batch 1.

    There are as many tokens as the model was trained with, the missing ones included: what is
    not there is heard as well, and the answer without boxes does not depend on their number.

    Args:
        boxes: N, as fractions of the canvas.
        embeddings: Of their phrases, (N, D).
        device: Where the tensors go.
        room: How many tokens there are; more, if there are more boxes.

    Raises:
        UsageError: There are more boxes than the model takes.
    """
    if len(boxes) > LIMIT:
        raise UsageError(
            "there are more boxes than the model takes",
            got=len(boxes),
            expected=f"{LIMIT} or less",
        )
    count = max(len(boxes), room)
    places = torch.zeros(1, count, 4)
    for i, box in enumerate(boxes):
        places[0, i] = torch.tensor([box.x0, box.y0, box.x1, box.y1])
    phrases = embeddings.new_zeros(1, count, embeddings.shape[-1])
    phrases[0, : len(boxes)] = embeddings
    present = torch.zeros(1, count)
    present[0, : len(boxes)] = 1
    named = {"boxes": places.to(device), "phrases": phrases.to(device)}
    heard = Encoded(named, present=present.to(device))
    return heard, Encoded(named, present=torch.zeros_like(present).to(device))


@contextmanager
def _scaled(unet: nn.Module, beta: Tensor) -> Generator[None]:
    """Gates scaled by beta while the block runs; fully open ones are left as they are."""
    if bool((beta == 1).all()):
        yield
        return
    fusers = [m for name, m in unet.named_modules() if name.endswith(".fuser")]
    for fuser in fusers:
        fuser.__dict__["forward"] = _forward(fuser, beta)
    try:
        yield
    finally:
        for fuser in fusers:
            fuser.__dict__.pop("forward", None)


def _forward(fuser: Any, beta: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The layer with both of its gates multiplied by beta (Li et al., Eq. 8 and 10)."""

    def forward(x: Tensor, objs: Tensor) -> Tensor:
        scale = beta.to(x).reshape(-1, 1, 1)
        seen = fuser.norm1(torch.cat([x, fuser.linear(objs)], 1))
        x = x + scale * fuser.alpha_attn.tanh() * fuser.attn(seen)[:, : x.shape[1]]
        return x + scale * fuser.alpha_dense.tanh() * fuser.ff(fuser.norm2(x))

    return forward
