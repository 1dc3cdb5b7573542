"""Scorers of figures, whose pictures are reduced to the size that the networks know."""

from __future__ import annotations

from dataclasses import replace

from compose_benchmarks import scorers
from compose_benchmarks.gallery import Gallery
from compose_benchmarks.items import SIDE, Item, look
from compose_benchmarks.promises import Placed
from compose_benchmarks.suites.cgi.parts import PartPlaced
from compose_metrics.pictures import as_bytes, as_saved, resize
from compose_metrics.result import Result

__all__ = ["clip", "features", "objects", "parts"]


def parts(gallery: Gallery) -> list[Result]:
    """Whether head and body are seen where their keypoints are."""
    judge = gallery.eyes.judge
    metrics = {name: PartPlaced(judge, name) for name in ("head", "body")}
    for part in _reduced(gallery).parts():
        for name, metric in metrics.items():
            wanted = [_wanted(item, name) for item in part.items]
            metric.update(part.pictures, wanted, keys=part.keys)
    return [metric.compute() for metric in metrics.values()]


def objects(gallery: Gallery) -> list[Result]:
    """See `compose_benchmarks.scorers.objects`, and the relation that holds them."""
    small = _reduced(gallery)
    return [*scorers.objects(small), *scorers.relation(small)]


def clip(gallery: Gallery) -> list[Result]:
    """See `compose_benchmarks.scorers.clip`."""
    return scorers.clip(_reduced(gallery))


def features(gallery: Gallery) -> list[Result]:
    """See `compose_benchmarks.scorers.features`."""
    return scorers.features(_reduced(gallery))


def _reduced(gallery: Gallery) -> Gallery:
    """The same pictures at the size that networks know."""
    small = as_bytes(resize(as_saved(gallery.pictures), SIDE))
    return replace(gallery, pictures=small)


def _wanted(item: Item, name: str) -> Placed:
    """The solid on top, or the other, and the box of what is seen of it."""
    index = item.objects.index(0 if name == "head" else 1)
    solid, box = item.drawn.solids[index], look(item.drawn).boxes[0, index].tolist()
    return Placed(solid.shape, str(solid.color), box)
