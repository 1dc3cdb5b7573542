"""The scorers of the suites: each takes a gallery and gives the results of one or more metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from compose_benchmarks.gallery import Gallery, Part
from compose_benchmarks.items import SIDE, Item
from compose_benchmarks.promises import (
    Clarity,
    ExactlyThese,
    ObjectsPlaced,
    ObjectsThere,
    Placed,
    RelationHolds,
)
from compose_benchmarks.suite import Suite, boxes
from compose_metrics.alignment.clip_score import CLIPScore
from compose_metrics.compbench.attributes import AttributeBinding
from compose_metrics.compbench.depth_relations import Spatial3D
from compose_metrics.compbench.mixed import Aspect, Complex
from compose_metrics.compbench.numeracy import Numeracy
from compose_metrics.compbench.spatial import Spatial2D
from compose_metrics.dense.depth import DepthMAE
from compose_metrics.dense.order import DepthOrder
from compose_metrics.distribution.fid import FID
from compose_metrics.distribution.kid import KID
from compose_metrics.features import FeatureMetrics
from compose_metrics.result import Result
from compose_metrics.similarity.lpips import LPIPS
from compose_metrics.similarity.ssim import SSIM
from compose_worlds.primitives.captions import phrase
from compose_worlds.primitives.labels import Labels, labels
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import World, stack

__all__ = [
    "attributes",
    "clarity",
    "clip",
    "depth",
    "depth_order",
    "features",
    "mixed",
    "numeracy",
    "objects",
    "placed",
    "references",
    "relation",
    "similarity",
    "spatial",
    "spatial_depth",
    "words",
]

REFERENCE = 4
"""Reference pictures for each generated one."""

REFERENCE_FROM = 500_000
"""Reference scenes begin so many numbers after those of the items."""

LEAST_REFERENCE = 256


def words(item: Item) -> str:
    """What the picture should hold, without the place: the judge knows objects only."""
    caption = item.caption
    relation = caption.relations[0] if caption.relations else None
    return phrase(caption.claims, relation, "").text


def objects(gallery: Gallery) -> list[Result]:
    """Which of the promised objects are there, and whether nothing else is."""
    there, exact = ObjectsThere(gallery.eyes.judge), ExactlyThese(gallery.eyes.judge)
    for part in gallery.parts():
        captions = [item.caption for item in part.items]
        there.update(part.pictures, captions, keys=part.keys)
        exact.update(part.pictures, captions, keys=part.keys)
    return [there.compute(), exact.compute()]


def relation(gallery: Gallery) -> list[Result]:
    """Whether both objects of the relation are there and stand as promised."""
    metric = RelationHolds(gallery.eyes.judge)
    for part in gallery.parts():
        metric.update(part.pictures, [item.caption for item in part.items], keys=part.keys)
    return [metric.compute()]


def attributes(gallery: Gallery) -> list[Result]:
    """Attribute binding of T2I-CompBench: every phrase is asked for by itself."""
    metric = AttributeBinding("color", gallery.eyes.judge)
    for part in gallery.parts():
        metric.update(part.pictures, _words(part), keys=part.keys)
    return [metric.compute()]


def spatial(gallery: Gallery) -> list[Result]:
    """Relations in the plane, as T2I-CompBench scores them."""
    metric = Spatial2D(gallery.eyes.judge)
    for part in gallery.parts():
        metric.update(part.pictures, _words(part), keys=part.keys)
    return [metric.compute()]


def spatial_depth(gallery: Gallery) -> list[Result]:
    """Relations in depth, as T2I-CompBench++ scores them."""
    metric = Spatial3D(gallery.eyes.judge, gallery.eyes.judge)
    for part in gallery.parts():
        metric.update(part.pictures, _words(part), keys=part.keys)
    return [metric.compute()]


def numeracy(gallery: Gallery) -> list[Result]:
    """Numbers of objects, as T2I-CompBench++ scores them."""
    metric = Numeracy(gallery.eyes.judge)
    for part in gallery.parts():
        metric.update(part.pictures, _words(part), keys=part.keys)
    return [metric.compute()]


def mixed(gallery: Gallery) -> list[Result]:
    """Attributes and relation together, the 3-in-1 of T2I-CompBench without actions."""
    eyes = gallery.eyes
    metric = Complex(eyes.judge, eyes.judge, eyes.clip)
    for part in gallery.parts():
        aspects: list[Aspect] = ["spatial"] * len(part.items)
        metric.update(part.pictures, _words(part), aspects, keys=part.keys)
    return [metric.compute()]


def clip(gallery: Gallery) -> list[Result]:
    """Cosine of the picture and the whole caption."""
    metric = CLIPScore(gallery.eyes.clip)
    for part in gallery.parts():
        metric.update(part.pictures, part.texts, keys=part.keys)
    return [metric.compute()]


def features(gallery: Gallery) -> list[Result]:
    """Frechet and kernel distance to renders of other scenes of the same kind."""
    seen = FeatureMetrics(FID(gallery.eyes.clip), KID(gallery.eyes.clip))
    for part in gallery.parts():
        seen.update(part.pictures, keys=part.keys)
    for pictures in references(gallery, len(gallery.items)):
        seen.update(reference=pictures)
    return list(seen.compute().values())


def references(gallery: Gallery, generated: int, batch: int = 64) -> Iterator[Tensor]:
    """Renders (B, 3, H, W) uint8 of scenes that are no items, for so many generated pictures."""
    count = max(REFERENCE * generated, LEAST_REFERENCE)
    suite = gallery.suite
    # What its scenes are drawn by: suites that ask other things of the same scenes share these.
    same = replace(suite, name="", summary="", write=boxes, scorers=(), primary="", rivals=())
    yield from _renders(same, suite.start + REFERENCE_FROM, count).split(batch)


@lru_cache(maxsize=2)
def _renders(suite: Suite, start: int, count: int, batch: int = 64) -> Tensor:
    """Kept, since methods that are measured one after the other have the same."""
    drawn = suite.scenes(count, start)
    parts = [picture(stack(drawn[i : i + batch]), (SIDE, SIDE)) for i in range(0, count, batch)]
    return (torch.cat(parts) * 255).round().to(torch.uint8)


def clarity(gallery: Gallery) -> list[Result]:
    """How sure the judge is of what it sees."""
    metric = Clarity(gallery.eyes.judge)
    for part in gallery.parts():
        metric.update(part.pictures, keys=part.keys)
    return [metric.compute()]


def placed(gallery: Gallery) -> list[Result]:
    """Which objects are where the scene has them."""
    metric = ObjectsPlaced(gallery.eyes.judge)
    for part in gallery.parts():
        boxes = [_labels([item]).boxes[0].tolist() for item in part.items]
        wanted = [
            [Placed(s.shape, str(s.color), b) for s, b in zip(item.drawn.solids, own, strict=True)]
            for item, own in zip(part.items, boxes, strict=True)
        ]
        metric.update(part.pictures, wanted, keys=part.keys)
    return [metric.compute()]


def similarity(gallery: Gallery) -> list[Result]:
    """How near a picture is to the render of its own scene."""
    ssim, lpips = SSIM(), LPIPS(gallery.eyes.trunk, None)
    for part in gallery.parts():
        truth = picture(_world(part.items), (SIDE, SIDE)) * 2 - 1
        ssim.update(part.pictures, truth, keys=part.keys)
        lpips.update(part.pictures, truth, keys=part.keys)
    return [ssim.compute(), lpips.compute()]


def depth(gallery: Gallery) -> list[Result]:
    """How near the depth that the judge reads is to the exact depth of the scene."""
    metric = DepthMAE("minmax", judge=gallery.eyes.judge.source)
    for part in gallery.parts():
        seen = gallery.eyes.judge.nearness(part.pictures).clamp_min(0)
        truth = _labels(part.items).inverse_depth[:, 0]
        metric.update(seen, truth, keys=part.keys)
    return [metric.compute()]


def depth_order(gallery: Gallery) -> list[Result]:
    """Whether what should be in front is nearer, at the places that the scene gives them."""
    metric = DepthOrder("larger", judge=gallery.eyes.judge.source)
    for part in gallery.parts():
        near = gallery.eyes.judge.nearness(part.pictures)
        visible = _labels(part.items).visible
        ahead = torch.tensor([_front(item) for item in part.items])
        rows = torch.arange(len(part.items))
        metric.update(near, visible[rows, ahead], visible[rows, 1 - ahead], keys=part.keys)
    return [metric.compute()]


def _front(item: Item) -> int:
    """Number of the solid in front, of two in a relation of depth."""
    said = item.caption.relations[0]
    claim = said.subject if said.name == "in front of" else said.other
    return item.objects.index(claim)


def _words(part: Part) -> list[str]:
    return [words(item) for item in part.items]


def _world(items: Sequence[Item]) -> World:
    return stack([item.drawn for item in items])


def _labels(items: Sequence[Item]) -> Labels:
    return labels(_world(items), (SIDE, SIDE))
