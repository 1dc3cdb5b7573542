"""The scorer of figures."""

from __future__ import annotations

from compose_benchmarks.gallery import Gallery
from compose_benchmarks.items import Item, look
from compose_benchmarks.promises import Placed
from compose_benchmarks.suites.cgi.parts import PartPlaced
from compose_metrics.result import Result

__all__ = ["parts"]


def parts(gallery: Gallery) -> list[Result]:
    """Whether head and body are seen where their keypoints are."""
    judge = gallery.eyes.judge
    metrics = {name: PartPlaced(judge, name) for name in ("head", "body")}
    for part in gallery.parts():
        for name, metric in metrics.items():
            wanted = [_wanted(item, name) for item in part.items]
            metric.update(part.pictures, wanted, keys=part.keys)
    return [metric.compute() for metric in metrics.values()]


def _wanted(item: Item, name: str) -> Placed:
    """The solid on top, or the other, and the box of what is seen of it."""
    index = item.objects.index(0 if name == "head" else 1)
    solid, box = item.drawn.solids[index], look(item.drawn).boxes[0, index].tolist()
    return Placed(solid.shape, str(solid.color), box)
