"""Prompts to denoisers: the models of what is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from compose_core.denoiser import Bound, Denoiser, Guided
from compose_core.encoded import Encoded

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["Voices"]


@final
class Voices:
    """One model under many prompts; equal prompts share one condition, so they are asked once.

    Args:
        model: Network and text encoder.
        guidance: Scale of classifier-free guidance; 1 asks no unconditional question.
        device: Where tensors go.
    """

    def __init__(self, model: Model, guidance: float, device: torch.device | str) -> None:
        self.model, self.guidance, self.device = model, guidance, device
        self._encoded: dict[str, Encoded] = {}
        self._denoisers: dict[tuple[object, ...], Denoiser] = {}

    def say(self, prompt: str, negative: str = "", control: Tensor | None = None) -> Denoiser:
        """The model under a prompt.

        Args:
            prompt: What it should make.
            negative: What it is guided away from.
            control: What its ControlNet follows on both sides of guidance, `(1, 3, H, W)`.
        """
        key = (prompt, negative, id(control))
        if key not in self._denoisers:
            sides = [self._told(text, control) for text in (prompt, negative)]
            self._denoisers[key] = self._guided(*sides)
        return self._denoisers[key]

    def between(self, prompts: Sequence[str], shares: Sequence[float], negative: str) -> Denoiser:
        """The model under a mixture of prompts: their embeddings are averaged."""
        heard = [(p, s) for p, s in zip(prompts, shares, strict=True) if s > 0]
        if len(heard) == 1:
            return self.say(heard[0][0], negative)
        parts = [(self._encode(p), s) for p, s in heard]
        names = list(parts[0][0])
        mixed = {name: torch.stack([s * part[name] for part, s in parts]).sum(0) for name in names}
        return self._guided(Encoded(mixed), self._encode(negative))

    def _guided(self, cond: Encoded, uncond: Encoded) -> Denoiser:
        said = Bound(self.model.network, cond)
        if self.guidance == 1:
            return said
        return Guided(said, Bound(self.model.network, uncond), self.guidance)

    def _told(self, text: str, control: Tensor | None) -> Encoded:
        encoded = self._encode(text)
        return encoded if control is None else Encoded({**encoded, "control": control})

    def _encode(self, text: str) -> Encoded:
        if text not in self._encoded:
            self._encoded[text] = self.model.text.encode(text).to(self.device)
        return self._encoded[text]
