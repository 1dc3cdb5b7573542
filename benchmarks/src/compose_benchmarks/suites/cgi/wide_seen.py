"""Scorers of panoramas: views are cut out and looked at by networks that know this size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from compose_benchmarks import scorers
from compose_benchmarks.gallery import Gallery, Part
from compose_benchmarks.items import SIDE
from compose_benchmarks.suites.cgi.seams import Seams
from compose_benchmarks.suites.cgi.views_seen import (
    Coherence,
    PlacesAgree,
    PlacesNamed,
    ViewsKept,
)
from compose_benchmarks.suites.cgi.wide import BORDERS, VIEWS, WIDTH, Wide
from compose_metrics.distribution.fid import FID
from compose_metrics.distribution.kid import KID
from compose_metrics.features import FeatureMetrics
from compose_metrics.result import Result

__all__ = ["cut", "features", "seams", "together", "views"]

CELL = 4
"""Pixels of a latent cell of sd-tiny."""


def views(gallery: Gallery) -> list[Result]:
    """Whether each view shows its object, and nothing else."""
    there, exact = (ViewsKept(gallery.eyes.judge, how) for how in ("there", "exact"))
    for part in gallery.parts():
        captions = [[view.caption for view in one.views] for one in _wide(part)]
        there.update(cut(part), captions, keys=part.keys)
        exact.update(cut(part), captions, keys=part.keys)
    return [there.compute(), exact.compute()]


def together(gallery: Gallery) -> list[Result]:
    """Whether the views are of one place: the named one, or one that they chose together."""
    clip = gallery.eyes.clip
    coherent, named, agreed = Coherence(clip), PlacesNamed(clip), PlacesAgree(clip)
    for part in gallery.parts():
        shown, items = cut(part), _wide(part)
        coherent.update(shown, keys=part.keys)
        words = [[view.caption.claims[0].words() for view in one.views] for one in items]
        for told in (True, False):
            rows = [i for i, one in enumerate(items) if one.named == told]
            if not rows:
                continue
            keys = [part.keys[i] for i in rows]
            some = [words[i] for i in rows]
            if told:
                place = [items[i].caption.environment for i in rows]
                named.update(shown[rows], some, place, keys=keys)
            else:
                agreed.update(shown[rows], some, keys=keys)
    return [one.compute() for one in (coherent, named, agreed) if one.n]


def seams(gallery: Gallery) -> list[Result]:
    """Whether it is seen where the first view ends and the last one begins."""
    metric = Seams()
    columns = torch.arange(0, WIDTH, CELL)
    owners = torch.bucketize(columns, torch.tensor(BORDERS), right=True).expand(SIDE // CELL, -1)
    for part in gallery.parts():
        metric.update(part.pictures, owners.expand(len(part.keys), -1, -1), keys=part.keys)
    return [metric.compute()]


def features(gallery: Gallery) -> list[Result]:
    """Frechet and kernel distance of all views to renders of scenes of one object."""
    seen = FeatureMetrics(FID(gallery.eyes.clip), KID(gallery.eyes.clip))
    for part in gallery.parts():
        keys = [key * VIEWS + k for key in part.keys for k in range(VIEWS)]
        seen.update(cut(part).flatten(0, 1), keys=keys)
    for pictures in scorers.references(gallery, VIEWS * len(gallery.items)):
        seen.update(reference=pictures)
    return list(seen.compute().values())


def cut(part: Part) -> Tensor:
    """The views (B, V, 3, H, W) of the pictures."""
    return torch.stack(
        [
            torch.stack([picture[..., view.left : view.left + SIDE] for view in one.views])
            for picture, one in zip(part.pictures, _wide(part), strict=True)
        ]
    )


def _wide(part: Part) -> Sequence[Wide]:
    return cast("tuple[Wide, ...]", part.items)
