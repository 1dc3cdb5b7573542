"""Spatial relations in depth: in front of, behind, hidden by.

The score is that of `spatial`, a quarter for each thing and half for the relation. A thing's
nearness is the mean of the estimated inverse depth over its box; the relation holds (1) or not (0)
by comparing the two.

- crop of a box: upstream takes `depth[x0:x1, y0:y1]`, rows and columns exchanged, which falls off
  pictures that are not square, where no relation holds then; fixed takes `depth[y0:y1, x0:x1]`, at
  least one pixel.
- several detections, twice the same thing, scores below 0.5, names: as in `spatial`.

This is the rule as published in words, with the oddities that are known of its script. The script
itself is under a non-commercial licence and was not followed line by line; whether it also weighs
the overlap of the boxes is open. So in this category `upstream` is the rule and the named
oddities, not the digits of the script, and its numbers must not stand beside published ones;
`params["parity"]` says so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError
from compose_metrics.compbench.judgement import (
    Compat,
    Judged,
    Judgement,
    paired,
    together,
)
from compose_metrics.compbench.names import tagged
from compose_metrics.compbench.phrases import Related, related
from compose_metrics.compbench.protocols import DepthEstimator, Detections, Detector
from compose_metrics.compbench.spatial import Box, detected, judge_pair
from compose_metrics.compbench.words import RELATIONS
from compose_metrics.metric import Keys
from compose_metrics.result import JSON

DEPTH = {wording: name for name in ("in front of", "behind") for wording in RELATIONS[name]}
CANONICAL = "unidet-rs200+dpt-large"
PARITY = "rule in words"
"""How far `upstream` follows its script here; see the module."""


def crop(depth: Tensor, box: Box, compat: Compat = "fixed") -> Tensor:
    """The part of a depth map (H, W) inside a box x0, y0, x1, y1 in its pixels."""
    x0, y0, x1, y1 = (int(v) for v in box)
    if compat == "upstream":
        return depth[x0:x1, y0:y1]
    height, width = depth.shape
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return depth[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def in_front(depth: Tensor, a: Box, b: Box, compat: Compat = "fixed") -> bool | None:
    """Whether box a is nearer than box b in inverse depth (H, W); None when they are equal."""
    first, second = (crop(depth, box, compat).double().mean() for box in (a, b))
    if not bool(first != second) or bool((first - second).isnan()):
        return None
    return bool(first > second)


def read(text: str, compat: Compat = "fixed") -> Related | None:
    """The relation in depth that a prompt states, or None."""
    asked = related(text, DEPTH)
    if asked is None or compat == "fixed":
        return asked
    subject, other = tagged(asked.subject, last=False), tagged(asked.other, last=True)
    return Related(subject, asked.relation, other, asked.wording)


def judge_one(
    found: Detections,
    asked: Related | None,
    depth: Tensor,
    compat: Compat = "fixed",
    vocabulary: Collection[str] | None = None,
) -> Judgement:
    """The judgement of one picture from its detections and its inverse depth (H, W)."""
    boxes = found.boxes.tolist()

    def place(i: int, j: int) -> float:
        nearer = in_front(depth, boxes[i], boxes[j], compat)
        wanted = asked is not None and asked.relation == "in front of"
        return float(nearer is wanted) if nearer is not None else 0.0

    return judge_pair(found, asked, place, compat, vocabulary)


@final
class Spatial3D(Judged):
    """Mean score of relations in depth.

    Args:
        detector: UniDet RS200 in the literature.
        estimator: DPT in the literature.
        compat: `"fixed"` or `"upstream"`.
    """

    def __init__(
        self, detector: Detector, estimator: DepthEstimator, *, compat: Compat = "fixed"
    ) -> None:
        source = together(detector.source, estimator.source)
        super().__init__("spatial-3d", CANONICAL, source, compat)
        self.detector, self.estimator = detector, estimator

    def params(self) -> dict[str, JSON]:
        """The compat mode, and how far upstream is followed."""
        more: dict[str, JSON] = {"parity": PARITY} if self.compat == "upstream" else {}
        return {**super().params(), **more}

    @torch.no_grad()
    def judge(self, pictures: Tensor, texts: Sequence[str]) -> list[Judgement]:
        """Judgements of pictures (B, 3, H, W) with a prompt each, without keeping them.

        Raises:
            ShapeError: Depth on other pixels than the pictures'.
        """
        pictures = paired(pictures, texts)
        depth = self.estimator.nearness(pictures).cpu()
        expected = (len(pictures), *pictures.shape[-2:])
        if tuple(depth.shape) != expected:
            raise ShapeError(
                "the depth is not that of the pictures", got=tuple(depth.shape), expected=expected
            )
        labels = self.detector.labels
        found = detected(self.detector, pictures)
        return [
            judge_one(f, read(text, self.compat), d, self.compat, labels)
            for f, text, d in zip(found, texts, depth, strict=True)
        ]

    def update(self, pictures: Tensor, texts: Sequence[str], *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1] with a prompt each."""
        self.take(self.judge(pictures, texts), keys, pictures)
