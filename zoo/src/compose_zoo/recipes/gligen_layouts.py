"""What `gligen-tiny` is grounded on: a box around what is seen of each object, and a phrase.

Scenes hold at most four objects; their places are read off the stored labels, so that a box is
tight around the visible pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from transformers import CLIPTokenizer

from compose_worlds.primitives import cache
from compose_worlds.primitives.captions import Claim
from compose_worlds.primitives.labels import boxes as tight
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS, SEMANTICS

SLOTS = 4
"""Objects that a scene can hold."""
LEAST = 12
"""Visible pixels (at 64 x 64) below which an object is not spoken of."""
ODDS = (0.4, 0.3, 0.1, 0.1, 0.1)
"""How often a phrase is "a red sphere", "red sphere", "a sphere", "sphere", "a red object"."""


@dataclass(frozen=True)
class Layouts:
    """Where the objects of N pictures are, and which they are.

    Attributes:
        boxes: (N, SLOTS, 4) as x0, y0, x1, y1 in fractions of the picture; zeros where there is
            no object.
        kinds: (N, SLOTS) int64, shape times the number of colours plus colour, in the order of
            `SHAPES` and `COLORS`; -1 where there is no object.
    """

    boxes: Tensor
    kinds: Tensor

    def mirrored(self) -> Layouts:
        """The layouts of the pictures flipped left to right."""
        x0, y0, x1, y1 = self.boxes.unbind(-1)
        turned = torch.stack([1 - x1, y0, 1 - x0, y1], -1)
        there = self.kinds[..., None] >= 0
        return Layouts(torch.where(there, turned, self.boxes), self.kinds)


def layouts(instance: Tensor, semantics: Tensor, color: Tensor) -> Layouts:
    """Layouts of labelled pictures; all labels (N, H, W) uint8 as `cache.make` gives them."""
    found: list[tuple[Tensor, Tensor]] = []
    for seen, kind, tint in zip(
        instance.split(1024), semantics.split(1024), color.split(1024), strict=True
    ):
        mask = seen[:, None] == torch.arange(SLOTS)[None, :, None, None]
        least = LEAST * seen[0].numel() / 4096
        there = mask.flatten(2).sum(-1) >= least
        # Every pixel of an object has its class and colour: any of them tells.
        shape = (mask * kind[:, None]).flatten(2).amax(-1).long() - SEMANTICS.index(SHAPES[0])
        number = shape * len(COLORS) + (mask * tint[:, None]).flatten(2).amax(-1).long()
        box = torch.where(there[..., None], tight(mask), torch.zeros(()))
        found.append((box, torch.where(there, number, -torch.ones_like(number))))
    boxes, kinds = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Layouts(boxes, kinds)


def load(folder: Path, numbers: range) -> Layouts:
    """Layouts of scenes by number, from the cache of rendered scenes in `folder`."""
    seen = cache.load(folder, numbers, ("instance", "semantics", "color"))
    return layouts(seen["instance"], seen["semantics"], seen["color"])


def phrases(kind: int) -> tuple[str, ...]:
    """The phrases of an object of this kind, in the order of `ODDS`."""
    shape, color = SHAPES[kind // len(COLORS)], list(COLORS)[kind % len(COLORS)]
    whole = Claim(shape, color).words()
    article = whole.split()[0]
    return whole, f"{color} {shape}", f"a {shape}", shape, f"{article} {color} object"


@torch.no_grad()
def embed(words: CLIPTokenizer, encoder: nn.Module, texts: list[str]) -> Tensor:
    """What stands for phrases in grounding: the text encoder's pooled output, (B, D)."""
    tokens = words(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return encoder(tokens.to(next(encoder.parameters()).device)).pooler_output


def table(words: CLIPTokenizer, encoder: nn.Module) -> Tensor:
    """Embeddings of all phrases: (kinds, phrasings, D)."""
    kinds = len(SHAPES) * len(COLORS)
    texts = [text for kind in range(kinds) for text in phrases(kind)]
    return embed(words, encoder, texts).unflatten(0, (kinds, len(ODDS)))


def worded(kinds: Tensor, known: Tensor, generator: Generator) -> Tensor:
    """One of its phrases for each object, drawn by `ODDS`.

    Args:
        kinds: (B, N) as in `Layouts`.
        known: (K, len(ODDS), D), see `table`.
        generator: On the device of both.

    Returns:
        (B, N, D); that of some kind where there is no object.
    """
    odds = torch.tensor(ODDS, device=kinds.device)
    drawn = torch.multinomial(odds, kinds.numel(), True, generator=generator)
    return known[kinds.clamp_min(0).flatten(), drawn].unflatten(0, kinds.shape)
