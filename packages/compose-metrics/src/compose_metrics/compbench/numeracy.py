"""Numeracy: whether there are as many things as the prompt says.

Each kind of thing weighs the same: half of its weight for being there at all, half for the exact
number (Huang et al. 2025, UniDet R50).

- duplicates: upstream makes one of boxes of one label with an IoU *or a containment* beyond 0.9,
  so that a thing before a larger one of its kind vanishes; fixed goes by IoU alone.
- area of a box: upstream adds one pixel each way, which makes small boxes overlap; fixed does not.
- confidence: upstream takes all that the detector returns, in its order; fixed takes what has 0.3
  or more, most confident first.
- numbers: upstream knows them up to eight; fixed, up to ten.
- names: upstream, when no label is the noun, takes every label that contains it, so that a
  "caterpillar" is a "cat"; fixed knows plurals and synonyms, see `names`.
- "television": upstream never finds it under "tv", because its list has "telivision".
- "one boy and one girl": upstream compares each with the number of persons, which is 2; fixed
  wants 2 persons.
- things outside the vocabulary: upstream leaves them out of the mean; fixed misses them when a
  numeral counts them.
- nothing counted: upstream divides by zero; here both modes stop with an error that names the
  prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import final

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_metrics.compbench.judgement import Compat, Fault, Judged, Judgement, paired
from compose_metrics.compbench.names import PEOPLE, SYNONYMS, canonical, meant
from compose_metrics.compbench.phrases import Counted, counted
from compose_metrics.compbench.protocols import Detections, Detector
from compose_metrics.compbench.spatial import Box, detected, iou
from compose_metrics.metric import Keys
from compose_metrics.result import JSON

SAME = 0.9
CONFIDENCE = 0.3
CANONICAL = "unidet-r50"
UPSTREAM_NUMBERS = ("a", "an", "one", "two", "three", "four", "five", "six", "seven", "eight")
UPSTREAM_NAMES = {
    **dict.fromkeys(PEOPLE, "person"),
    "ship": "boat",
    "telivision": "tv",
    "goldfish": "fish",
    "painting": "picture",
}


def same_box(a: Box, b: Box, compat: Compat = "fixed") -> bool:
    """Whether two boxes of one label are one thing seen twice."""
    if compat == "fixed":
        return iou(a, b) > SAME
    # Upstream takes corners as pixels that belong to the box.
    a, b = ((box[0], box[1], box[2] + 1, box[3] + 1) for box in (a, b))
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    shared = width * height
    return max(shared / (sum(areas) - shared), shared / areas[0], shared / areas[1]) > SAME


def distinct(
    found: Detections, compat: Compat = "fixed", confidence: float = CONFIDENCE
) -> list[str]:
    """Labels of the detections without duplicates; the earlier one of two stays."""
    order = list(range(len(found)))
    if compat == "fixed":
        sure = found.confidences.tolist()
        order = sorted((i for i in order if sure[i] >= confidence), key=lambda i: -sure[i])
    boxes = found.boxes.tolist()
    kept: list[int] = []
    for i in order:
        twins = (j for j in kept if found.labels[j] == found.labels[i])
        if not any(same_box(boxes[i], boxes[j], compat) for j in twins):
            kept.append(i)
    return [found.labels[i] for i in kept]


def vocabulary(labels: Collection[str]) -> set[str]:
    """Every noun that means one of the labels."""
    known = {canonical(label) for label in labels}
    return known | set(labels) | {n for n in (*PEOPLE, *SYNONYMS) if canonical(n) in known}


def read(text: str, labels: Collection[str], compat: Compat = "fixed") -> list[Counted]:
    """What a prompt counts.

    Args:
        text: The prompt.
        labels: What the detector can name.
        compat: See the module.

    Raises:
        UsageError: The prompt counts nothing that is known.
    """
    nouns = vocabulary(labels)
    if compat == "upstream":
        found = counted(
            text,
            nouns,
            longest=2,
            anywhere=False,
            unknown=False,
            numbers=frozenset(UPSTREAM_NUMBERS),
        )
    else:
        # "a picnic" is scenery, "three picnics" are a claim.
        found = [c for c in counted(text, nouns) if c.number > 1 or c.noun in nouns]
    if not found:
        raise UsageError(
            "a prompt counts nothing that the detector knows",
            got=repr(text),
            expected="a number and the name of a thing",
        )
    return found


def _upstream_counts(seen: list[str], asked: Sequence[Counted]) -> list[tuple[Counted, int]]:
    seen, counts = list(seen), []
    for thing in asked:
        name = UPSTREAM_NAMES.get(thing.noun, thing.noun)
        if name not in seen:
            # Renamed for good: a later thing no longer finds them.
            seen = [name if name in label else label for label in seen]
        counts.append((thing, seen.count(name)))
    return counts


def _fixed_counts(
    seen: Sequence[str], asked: Sequence[Counted], labels: Collection[str]
) -> list[tuple[Counted, int]]:
    wanted: Counter[str] = Counter()
    for thing in asked:
        wanted[meant(thing.noun, labels)] += thing.number
    there = Counter(canonical(label) for label in seen)
    return [(Counted(name, number), there[name]) for name, number in wanted.items()]


def judge_one(
    found: Detections,
    asked: Sequence[Counted],
    compat: Compat = "fixed",
    labels: Collection[str] | None = None,
    confidence: float = CONFIDENCE,
) -> Judgement:
    """The judgement of one picture.

    Args:
        found: Its detections.
        asked: What the prompt counts, at least one thing.
        compat: See the module.
        labels: What the detector can name; those of the detections by default.
        confidence: Least confidence of a thing (fixed only).
    """
    seen = distinct(found, compat, confidence)
    if compat == "upstream":
        counts = _upstream_counts(seen, asked)
    else:
        counts = _fixed_counts(seen, asked, found.labels if labels is None else labels)
    weight = 1 / len(counts)
    present = weight * sum(n > 0 for _, n in counts)
    exact = weight * sum(n == thing.number for thing, n in counts)
    told = ", ".join(f"{n} of {t.number} {t.noun!r}" for t, n in counts)
    fault = (
        Fault.MISSING if present < 1 - 1e-9 else Fault.COUNT if exact < 1 - 1e-9 else Fault.NONE
    )
    parts = {"present": present, "exact": exact}
    return Judgement(0.5 * present + 0.5 * exact, fault, told, parts)


@final
class Numeracy(Judged):
    """Mean score of numeracy.

    Args:
        detector: UniDet R50 in the literature.
        compat: `"fixed"` or `"upstream"`.
        confidence: Least confidence of a thing (fixed only).
    """

    def __init__(
        self, detector: Detector, *, compat: Compat = "fixed", confidence: float = CONFIDENCE
    ) -> None:
        super().__init__("numeracy", CANONICAL, detector.source, compat)
        self.detector, self.confidence = detector, confidence

    def params(self) -> dict[str, JSON]:
        """The compat mode, and the least confidence where it matters."""
        more: dict[str, JSON] = {"confidence": self.confidence} if self.compat == "fixed" else {}
        return {**super().params(), **more}

    @torch.no_grad()
    def judge(self, pictures: Tensor, texts: Sequence[str]) -> list[Judgement]:
        """Judgements of pictures (B, 3, H, W) with a prompt each, without keeping them.

        Raises:
            ShapeError: Pictures and prompts do not pair up.
            UsageError: A prompt that counts nothing.
        """
        pictures, labels = paired(pictures, texts), self.detector.labels
        asked = [read(text, labels, self.compat) for text in texts]
        found = detected(self.detector, pictures)
        return [
            judge_one(f, a, self.compat, labels, self.confidence)
            for f, a in zip(found, asked, strict=True)
        ]

    def update(self, pictures: Tensor, texts: Sequence[str], *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1] with a prompt each."""
        self.take(self.judge(pictures, texts), keys, pictures)
