"""Metrics of panoramas: what each view shows, and whether views show one place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_benchmarks.judges import Clip, Judge
from compose_benchmarks.looking import Compared
from compose_metrics.metric import Keys, PerSample
from compose_metrics.result import Source
from compose_worlds.judge import verdict
from compose_worlds.primitives.captions import Caption
from compose_worlds.primitives.environments import ENVIRONMENTS

__all__ = ["Coherence", "PlacesAgree", "PlacesNamed", "ViewsKept", "places"]


@final
class ViewsKept(PerSample):
    """Share of the views of a picture that keep their prompt, as the judge sees them alone.

    Args:
        judge: Looks.
        how: `"there"`: the object is there. `"exact"`: and nothing else is.
    """

    def __init__(self, judge: Judge, how: Literal["there", "exact"]) -> None:
        super().__init__()
        self.judge, self.how = judge, how
        self.id = judge.source.metric("views" if how == "there" else "views-exact")

    def update(
        self, views: Tensor, captions: Sequence[Sequence[Caption]], *, keys: Keys = None
    ) -> None:
        """Take views (B, V, 3, H, W) in [-1, 1] with a caption each."""
        looks = self.judge.look(views.flatten(0, 1))
        asked = [caption for some in captions for caption in some]
        kept = [
            given.exact if self.how == "exact" else given.all
            for caption, look in zip(asked, looks, strict=True)
            for given in [verdict(caption, list(look.found))]
        ]
        share = torch.tensor(kept, dtype=torch.float64).reshape(len(views), -1).mean(1)
        self.add(keys, value=share)

    def extractor_source(self) -> Source:
        """The judge."""
        return self.judge.source


@final
class Coherence(Compared):
    """Mean cosine between the embeddings of two views of a picture."""

    name = "coherence"

    def update(self, views: Tensor, *, keys: Keys = None) -> None:
        """Take views (B, V, 3, H, W) in [-1, 1]."""
        seen = self.clip.encode_pictures(views.flatten(0, 1)).unflatten(0, views.shape[:2])
        unit = F.normalize(seen.double(), dim=-1)
        pairs = list(combinations(range(views.shape[1]), 2))
        cosines = torch.stack([(unit[:, a] * unit[:, b]).sum(-1) for a, b in pairs])
        self.add(keys, value=cosines.mean(0))


@final
class PlacesAgree(Compared):
    """Share of pictures whose views are all read as the same place."""

    name = "one-place"

    def update(
        self, views: Tensor, objects: Sequence[Sequence[str]], *, keys: Keys = None
    ) -> None:
        """Take views (B, V, 3, H, W) in [-1, 1], and the words for what each shows."""
        found = places(self.clip, views, objects)
        self.add(keys, value=(found == found[:, :1]).all(1).double())


@final
class PlacesNamed(Compared):
    """Share of views that are read as the place that their prompts name."""

    name = "place"

    def update(
        self,
        views: Tensor,
        objects: Sequence[Sequence[str]],
        named: Sequence[str],
        *,
        keys: Keys = None,
    ) -> None:
        """Take views (B, V, 3, H, W) in [-1, 1], words for each, and the place of each picture."""
        wanted = torch.tensor([list(ENVIRONMENTS).index(name) for name in named])
        found = places(self.clip, views, objects)
        self.add(keys, value=(found == wanted[:, None]).double().mean(1))


def places(clip: Clip, views: Tensor, objects: Sequence[Sequence[str]]) -> Tensor:
    """Number (B, V) of the place whose words fit best to each of the views (B, V, 3, H, W).

    Each is compared with what it shows "on grass", "on sand" and so on.
    """
    words = [word for some in objects for word in some]
    phrases = [place.phrase for place in ENVIRONMENTS.values()]
    seen = F.normalize(clip.encode_pictures(views.flatten(0, 1)), dim=-1)
    texts = [f"{word} {phrase}" for word in words for phrase in phrases]
    known = list(dict.fromkeys(texts))
    read = F.normalize(clip.encode_texts(known).embeddings, dim=-1)
    rows = torch.tensor([known.index(text) for text in texts]).reshape(len(words), -1)
    cosines = (seen[:, None] * read[rows]).sum(-1)
    return cosines.argmax(1).reshape(views.shape[:2])
