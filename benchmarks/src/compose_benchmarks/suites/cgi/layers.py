"""Metrics of pictures that were drawn in layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_benchmarks.judges import Clip
from compose_benchmarks.looking import Compared, Judged
from compose_metrics.metric import Keys, PerSample
from compose_metrics.pictures import sizes, taken
from compose_worlds.judge import Found, overlap
from compose_worlds.primitives.captions import Claim

__all__ = ["BackgroundKept", "Emptiness", "Ground", "Inside", "Likeness", "Same"]

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in fractions of the picture."""

MOSTLY = 0.85
"""Least share of an object's box that lies in its region."""


@final
class BackgroundKept(PerSample):
    """How much the background of a picture differs from the background by itself.

    The mean absolute difference where the object is not, in levels of 255.
    """

    id = "background-change"
    unit = "levels"
    higher_is_better = False

    def update(
        self, pictures: Tensor, grounds: Tensor, outside: Tensor, *, keys: Keys = None
    ) -> None:
        """Take pictures and backgrounds (B, 3, H, W) in [-1, 1], and where to look (B, H, W)."""
        pictures, grounds = taken(pictures), taken(grounds, "the backgrounds")
        moved = (pictures - grounds).abs().mean(1).double() * 127.5
        value = (moved * outside).sum((1, 2)) / outside.sum((1, 2)).clamp_min(1)
        self.add(keys, value=value, size=sizes(pictures))


@final
class Inside(Judged):
    """Share of pictures in which the judge sees the object, nearly all of it in its region.

    That is: one of its shape and colour of whose box at least `MOSTLY` lies there.
    """

    name = "inside"

    def update(
        self, pictures: Tensor, claims: Sequence[Claim], boxes: Sequence[Box], *, keys: Keys = None
    ) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1], with what is asked for, and where."""
        pictures = taken(pictures)
        each = zip(self.judge.look(pictures), claims, boxes, strict=True)
        value = [
            float(
                any(
                    (found.shape, found.color) == (claim.shape, claim.color)
                    and _within(found.box, box) >= MOSTLY
                    for found in look.found
                )
            )
            for look, claim, box in each
        ]
        self.add(keys, value=torch.tensor(value, dtype=torch.float64), size=sizes(pictures))


def _within(box: Box, region: Box) -> float:
    """Share of a box that lies in a region."""
    width = max(0.0, min(box[2], region[2]) - max(box[0], region[0]))
    height = max(0.0, min(box[3], region[3]) - max(box[1], region[1]))
    return width * height / max((box[2] - box[0]) * (box[3] - box[1]), 1e-9)


@final
class Emptiness(Judged):
    """Share of the backgrounds in which the judge sees no object."""

    name = "empty"

    def update(self, grounds: Tensor, *, keys: Keys = None) -> None:
        """Take backgrounds (B, 3, H, W) in [-1, 1]."""
        looks = self.judge.look(taken(grounds))
        self.add(keys, value=torch.tensor([float(not look.found) for look in looks]).double())


@final
class Same(Judged):
    """Share of pictures whose object is of the shape and colour that it has by itself.

    In each, the object is the one that overlaps its box most.
    """

    name = "same-object"

    def update(
        self, pictures: Tensor, alone: Tensor, boxes: Sequence[Box], *, keys: Keys = None
    ) -> None:
        """Take pictures, and objects by themselves, (B, 3, H, W) in [-1, 1], with boxes."""
        first, second = self.judge.look(taken(pictures)), self.judge.look(taken(alone))
        kinds = [
            [_kind(list(look.found), box) for look, box in zip(looks, boxes, strict=True)]
            for looks in (first, second)
        ]
        value = [float(a is not None and a == b) for a, b in zip(*kinds, strict=True)]
        self.add(keys, value=torch.tensor(value, dtype=torch.float64))


def _kind(found: Sequence[Found], box: Box) -> tuple[str, str] | None:
    best = max(found, key=lambda one: overlap(one.box, box), default=None)
    if best is None or overlap(best.box, box) == 0:
        return None
    return best.shape, best.color


@final
class Likeness(Compared):
    """Mean cosine between the object in a picture and the object by itself, cut at its box."""

    name = "object-likeness"

    def update(
        self, pictures: Tensor, alone: Tensor, boxes: Sequence[Box], *, keys: Keys = None
    ) -> None:
        """Take pictures, and objects by themselves, (B, 3, H, W) in [-1, 1], with boxes."""
        cosines: list[Tensor] = []
        for shown, own, box in zip(taken(pictures), taken(alone), boxes, strict=True):
            both = self.clip.encode_pictures(_cut(torch.stack([shown, own]), box)).double()
            cosines.append(F.cosine_similarity(both[0], both[1], dim=0))
        self.add(keys, value=torch.stack(cosines))


@final
class Ground(Compared):
    """Share of backgrounds that are read as their place, of all places that there are.

    Args:
        clip: Looks and reads.
        known: The words for every place.
    """

    name = "background-place"

    def __init__(self, clip: Clip, known: Sequence[str]) -> None:
        super().__init__(clip)
        self.known = tuple(known)

    def update(self, grounds: Tensor, told: Sequence[str], *, keys: Keys = None) -> None:
        """Take backgrounds (B, 3, H, W) in [-1, 1], and the words for each."""
        seen = F.normalize(self.clip.encode_pictures(taken(grounds)), dim=-1)
        read = F.normalize(self.clip.encode_texts(self.known).embeddings, dim=-1)
        wanted = torch.tensor([self.known.index(words) for words in told])
        self.add(keys, value=((seen @ read.T).argmax(1) == wanted).double())


def _cut(pictures: Tensor, box: Box) -> Tensor:
    """The pixels that a box touches."""
    height, width = pictures.shape[-2:]
    x0, y0 = int(box[0] * width), int(box[1] * height)
    x1, y1 = -int(-box[2] * width // 1), -int(-box[3] * height // 1)
    return pictures[..., y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
