"""A CLIP tokenizer and text model: prompts to embeddings, and what did not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, final

import torch
from torch import nn

from compose_core.encoded import Encoded

__all__ = ["TextEncoder"]


@final
class TextEncoder:
    """Prompts to `Encoded(text=...)`.

    Args:
        tokenizer: A `CLIPTokenizer`.
        text_encoder: A `CLIPTextModel`; its last hidden state is the embedding.
    """

    def __init__(self, tokenizer: Any, text_encoder: nn.Module) -> None:
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        positions = int(cast(Any, text_encoder).config.max_position_embeddings)
        self.length = min(int(tokenizer.model_max_length), positions)

    @torch.no_grad()
    def encode(self, prompts: str | Sequence[str]) -> Encoded:
        """Embeddings `"text"` (B, L, D), padded to the full length L; longer prompts are cut.

        Nothing is said about the cut here: ask `cut`.
        """
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        ids = self.tokenizer(
            texts,
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        weight = next(self.text_encoder.parameters())
        ids = ids if weight.device.type == "meta" else ids.to(weight.device)
        return Encoded(text=cast(Any, self.text_encoder)(ids).last_hidden_state)

    def cut(self, prompt: str) -> str:
        """The end of the prompt that does not fit and is not seen; empty when all fits."""
        ids = self.tokenizer(prompt, truncation=False, add_special_tokens=False, verbose=False)
        room = self.length - 2  # the begin and end tokens
        return str(self.tokenizer.decode(ids.input_ids[room:])).strip()
