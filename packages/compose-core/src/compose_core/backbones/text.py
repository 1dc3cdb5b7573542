"""CLIP tokenizers and text models: prompts to embeddings, and what did not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast, final

import torch
from torch import Tensor, nn

from compose_core.encoded import Encoded

__all__ = ["SecondEncoder", "TextEncoder"]


class SecondEncoder(NamedTuple):
    """The other text encoder of Stable Diffusion XL.

    Attributes:
        tokenizer: Its `CLIPTokenizer`.
        text_encoder: A `CLIPTextModelWithProjection`.
        zeros_for_empty: Whether an empty prompt is all zeros instead of its embedding, as the
            published base model was trained.
    """

    tokenizer: Any
    text_encoder: nn.Module
    zeros_for_empty: bool = True


@final
class TextEncoder:
    """Prompts to `Encoded(text=...)`; with a second encoder `Encoded(text=..., pooled=...)`.

    Args:
        tokenizer: A `CLIPTokenizer`.
        text_encoder: A `CLIPTextModel`. Its last hidden state is the embedding; beside a second
            encoder, the last but one of both, one after the other along the width.
        second: The other encoder, where the model has one.
    """

    def __init__(
        self, tokenizer: Any, text_encoder: nn.Module, second: SecondEncoder | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.text_encoder = text_encoder
        self.second = second
        positions = int(cast(Any, text_encoder).config.max_position_embeddings)
        self.length = min(int(tokenizer.model_max_length), positions)

    @torch.no_grad()
    def encode(self, prompts: str | Sequence[str]) -> Encoded:
        """Embeddings `"text"` (B, L, D), padded to the full length L; longer prompts are cut.

        A second encoder adds `"pooled"` (B, D2), its projected embedding of the whole.
        Nothing is said about the cut here: ask `cut`.
        """
        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        if self.second is None:
            said = self._ask(self.tokenizer, self.text_encoder, texts)
            return Encoded(text=said["last_hidden_state"])
        first, second = (
            self._ask(tokenizer, model, texts, output_hidden_states=True)
            for tokenizer, model in (
                (self.tokenizer, self.text_encoder),
                (self.second.tokenizer, self.second.text_encoder),
            )
        )
        text = torch.cat([first["hidden_states"][-2], second["hidden_states"][-2]], -1)
        pooled = cast(Tensor, second["text_embeds"])
        if self.second.zeros_for_empty:
            said = torch.tensor([bool(prompt.strip()) for prompt in texts], device=text.device)
            text, pooled = text * said[:, None, None], pooled * said[:, None]
        return Encoded(text=text, pooled=pooled)

    def _ask(
        self, tokenizer: Any, model: nn.Module, texts: list[str], **options: Any
    ) -> Mapping[str, Any]:
        ids = tokenizer(
            texts,
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        weight = next(model.parameters())
        ids = ids if weight.device.type == "meta" else ids.to(weight.device)
        return cast("Mapping[str, Any]", cast(Any, model)(ids, **options))

    def cut(self, prompt: str) -> str:
        """The end of the prompt that does not fit and is not seen; empty when all fits."""
        ids = self.tokenizer(prompt, truncation=False, add_special_tokens=False, verbose=False)
        room = self.length - 2  # the begin and end tokens
        return str(self.tokenizer.decode(ids.input_ids[room:])).strip()
