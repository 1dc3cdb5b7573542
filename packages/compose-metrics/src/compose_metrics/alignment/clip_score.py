"""CLIPScore: the cosine of a picture and its text.

Three scales circulate under one name: the cosine itself, 100 times it, and 2.5 * max(cos, 0)
(Hessel et al. 2021). The cosine is what is measured here; scale and clamp are explicit parameters,
applied to each sample, as the definition says, and not to the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_metrics.alignment.encoders import DualEncoder, unit
from compose_metrics.metric import Keys, PerSample
from compose_metrics.pictures import sizes, taken
from compose_metrics.result import JSON, Result, Source

HESSEL = 2.5


def cosines(pictures: Tensor, texts: Tensor) -> Tensor:
    """Cosines (B,) of pairs of vectors (B, D), in float64."""
    return (unit(pictures, "the pictures") * unit(texts, "the texts")).sum(-1)


@final
class CLIPScore(PerSample):
    """Mean of scale * cos, or scale * max(cos, 0); the id names the model: ``clip@<model>``.

    ``parts["truncated"]`` of the result counts the texts whose end the model did not read.

    Args:
        encoder: The model.
        scale: Factor of the cosine; 1 is the cosine itself.
        clamp: Whether negative cosines count as 0, each by itself.

    Raises:
        UsageError: A scale that is not positive.
    """

    version = 2

    def __init__(self, encoder: DualEncoder, *, scale: float = 1.0, clamp: bool = False) -> None:
        super().__init__()
        if not scale > 0:
            raise UsageError("CLIPScore needs a scale", got=scale, expected="> 0")
        self.encoder, self.scale, self.clamp = encoder, float(scale), clamp
        self.id = encoder.source.metric("clip")

    @classmethod
    def hessel(cls, encoder: DualEncoder) -> CLIPScore:
        """As Hessel et al. define it: 2.5 * max(cos, 0)."""
        return cls(encoder, scale=HESSEL, clamp=True)

    @torch.no_grad()
    def update(self, pictures: Tensor, texts: Sequence[str], *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W), float in [-1, 1] or uint8, and a text for each.

        Raises:
            UsageError: Their numbers differ, or a text is empty.
        """
        pictures = taken(pictures)
        if isinstance(texts, str) or len(texts) != len(pictures):
            raise UsageError(
                "every picture needs a text",
                got=f"{len(pictures)} pictures, {1 if isinstance(texts, str) else len(texts)} "
                "texts",
            )
        if empty := [i for i, text in enumerate(texts) if not text.strip()]:
            raise UsageError("an empty text describes nothing", got=f"texts {empty[:8]}")
        seen = self.encoder.encode_texts(texts)
        cosine = cosines(self.encoder.encode_pictures(pictures), seen.embeddings)
        size = sizes(pictures)
        value = self.scale * (cosine.clamp_min(0) if self.clamp else cosine)
        self.add(keys, value=value, truncated=seen.truncated.to(torch.uint8), size=size)

    def compute(self) -> Result:
        """The mean, the value of each sample, and how many texts were cut off."""
        truncated = int(self.rows()["truncated"].sum())
        return replace(super().compute(), parts={"truncated": float(truncated)})

    def params(self) -> dict[str, JSON]:
        """Scale, clamp and what happens to a picture before the model."""
        return {
            "scale": self.scale,
            "clamp": self.clamp,
            "transform": self.encoder.transform,
        }

    def extractor_source(self) -> Source:
        """The model."""
        return self.encoder.source
