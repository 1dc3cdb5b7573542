"""How near the parts of a picture come to what each should look like (paper, appendix A.4).

A picture is cut by the mask of soft guidance, black elsewhere, and each part is compared with both
exemplars by the cosine of embeddings. The paper reports the mean of each part's cosine with its
own exemplar. That number also rises when both parts come nearer to everything; the margin does
not: it takes away each part's cosine with the exemplar of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_benchmarks.judges import Clip

__all__ = ["METRICS", "Cosines", "cosines"]

METRICS: dict[str, str] = {
    "fg-cosine": "of the foreground with its exemplar",
    "bg-cosine": "of the background with its exemplar",
    "localized-cosine": "mean of both",
    "fg-margin": "of the foreground with its exemplar, less that with the other",
    "bg-margin": "of the background with its exemplar, less that with the other",
    "localized-margin": "mean of both",
}
"""What is told of each picture: the cosine ..."""


@dataclass(frozen=True)
class Cosines:
    """Cosines (B,) of both parts of pictures with both exemplars.

    Attributes:
        ff: Of the foreground with the foreground's exemplar.
        fb: Of the foreground with the background's.
        bf: Of the background with the foreground's.
        bb: Of the background with its own.
    """

    ff: Tensor
    fb: Tensor
    bf: Tensor
    bb: Tensor

    def metrics(self) -> dict[str, Tensor]:
        """The values (B,) of `METRICS`."""
        fg, bg = self.ff - self.fb, self.bb - self.bf
        return {
            "fg-cosine": self.ff,
            "bg-cosine": self.bb,
            "localized-cosine": (self.ff + self.bb) / 2,
            "fg-margin": fg,
            "bg-margin": bg,
            "localized-margin": (fg + bg) / 2,
        }


def cosines(clip: Clip, pictures: Tensor, mask: Tensor, exemplars: Sequence[Tensor]) -> Cosines:
    """Compare both parts of pictures with both exemplars.

    Args:
        clip: Gives embeddings.
        pictures: (B, 3, H, W) in [0, 1].
        mask: (B, H, W) of 0 and 1, 1 in the foreground.
        exemplars: Of the foreground and of the background, (B, 3, H, W) in [0, 1] each.
    """
    at = mask[:, None]
    fg, bg = (_embed(clip, pictures * part) for part in (at, 1 - at))
    mine, other = (_embed(clip, one) for one in exemplars)
    return Cosines(
        (fg * mine).sum(1), (fg * other).sum(1), (bg * mine).sum(1), (bg * other).sum(1)
    )


def _embed(clip: Clip, pictures: Tensor) -> Tensor:
    parts = [clip.encode_pictures(some * 2 - 1) for some in pictures.split(64)]
    return F.normalize(torch.cat(parts), dim=1).double()
