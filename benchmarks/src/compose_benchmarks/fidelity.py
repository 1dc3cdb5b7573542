"""Scorers of fidelity to dense labels: what the judge reads, against what was asked for."""

from __future__ import annotations

import torch

from compose_benchmarks.gallery import Gallery
from compose_benchmarks.items import SIDE
from compose_metrics.dense.fidelity import EdgeF1, NormalAngle
from compose_metrics.dense.segmentation import MeanIoU, PixelAccuracy
from compose_metrics.result import Result
from compose_tlam.data import texture_edges
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.render import SEMANTICS, picture
from compose_worlds.primitives.world import stack

__all__ = ["edges", "normals", "semantics"]

EDGE = 0.1
"""Least strength of an edge that counts: a step of a tenth of the way from black to white."""


@torch.no_grad()
def semantics(gallery: Gallery) -> list[Result]:
    """Mean IoU and pixel accuracy of the classes that the judge reads (Table 2)."""
    source, network = gallery.eyes.judge.source, gallery.eyes.judge.network
    iou, accuracy = (
        kind(len(SEMANTICS), names=SEMANTICS, judge=source) for kind in (MeanIoU, PixelAccuracy)
    )
    for part in gallery.parts():
        seen = network(part.pictures).semantics.argmax(1)
        truth = labels(stack([item.drawn for item in part.items]), (SIDE, SIDE)).semantics
        iou.update(seen, truth, keys=part.keys)
        accuracy.update(seen, truth, keys=part.keys)
    return [iou.compute(), accuracy.compute()]


@torch.no_grad()
def normals(gallery: Gallery) -> list[Result]:
    """Angle between the normals that the judge reads and those of the scene."""
    metric = NormalAngle(judge=gallery.eyes.judge.source)
    for part in gallery.parts():
        seen = gallery.eyes.judge.network(part.pictures).normals
        truth = labels(stack([item.drawn for item in part.items]), (SIDE, SIDE)).normals
        metric.update(seen, truth, keys=part.keys)
    return [metric.compute()]


def edges(gallery: Gallery) -> list[Result]:
    """Edges of the picture against those of the true one; nobody needs to read them."""
    metric = EdgeF1(tolerance=1, threshold=EDGE)
    for part in gallery.parts():
        truth = picture(stack([item.drawn for item in part.items]), (SIDE, SIDE))
        seen = texture_edges(part.pictures / 2 + 0.5)
        metric.update(seen, texture_edges(truth), keys=part.keys)
    return [metric.compute()]
