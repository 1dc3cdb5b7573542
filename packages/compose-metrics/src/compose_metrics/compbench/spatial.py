"""Spatial relations in the plane: left of, right of, above, below, near.

A picture scores a quarter of the confidence of each of the two things, and half of how well their
boxes stand in the relation (Huang et al. 2023, UniDet). For a direction, the centres have to
differ in that direction more than across it, and overlap beyond an IoU of 0.1 is punished as
0.1 / IoU. Upstream and fixed differ in these:

- near: upstream gives 1 if the centres differ by less than 150 pixels in x *or* in y, whatever the
  size of the picture, so that things at opposite ends of a row are near, and 150 / max(dx, dy)
  otherwise; fixed goes by distance relative to the picture: 1 within 150 / 512 of its longer side,
  and reach / distance beyond.
- "on top of": upstream reads it but has no rule for it, which gives 0; fixed, as "on the top of".
- several detections: upstream takes the first of each thing; fixed, the best pair.
- twice the same thing: upstream takes one detection for both; fixed needs two.
- a score below 0.5: upstream makes it 0, so that one thing alone never counts; fixed keeps it.
- names: upstream needs one string; fixed knows plurals and synonyms, see `names`.
- wording: upstream takes the first of a fixed list that occurs anywhere, in "nearby" too; fixed,
  whole words, in the order of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError
from compose_metrics.compbench.judgement import Compat, Fault, Judged, Judgement, paired
from compose_metrics.compbench.names import matching, tagged
from compose_metrics.compbench.phrases import (
    Related,
    chunks,
    content,
    find_wording,
    related,
)
from compose_metrics.compbench.protocols import Detections, Detector
from compose_metrics.compbench.words import RELATIONS
from compose_metrics.metric import Keys

Box = Sequence[float]
"""x0, y0, x1, y1 in pixels, y down."""

OVERLAP = 0.1
NEAR = 150.0
SIDE = 512.0
"""The side of the pictures for which 150 pixels were chosen."""
CUT = 0.5
CANONICAL = "unidet-rs200"

PLANE = {
    wording: name
    for name in ("left of", "right of", "above", "below", "near")
    for wording in RELATIONS[name]
}
UPSTREAM_ORDER = (
    "on side of",
    "next to",
    "near",
    "on the left of",
    "on the right of",
    "on the bottom of",
    "on the top of",
    "on top of",
)
"""The wordings that upstream looks for, in its order."""
UPSTREAM_COMPLEX = (
    "on top of",
    "on bottom of",
    "on the left",
    "on the right",
    "next to",
    "on side of",
    "near",
)
"""What it looks for in complex prompts besides."""

_DIRECTION = {"left of": (0, 1), "right of": (0, -1), "above": (1, 1), "below": (1, -1)}
"""Axis, and sign of (centre of the other - centre of the subject)."""


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0 for two boxes without area."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - width * height
    return width * height / union if union > 0 else 0.0


def offset(a: Box, b: Box) -> tuple[float, float]:
    """From the centre of a to the centre of b."""
    return (b[0] + b[2] - a[0] - a[2]) / 2, (b[1] + b[3] - a[1] - a[3]) / 2


def nearness(a: Box, b: Box, compat: Compat, side: float = SIDE) -> float:
    """How near two boxes are, 1 within reach; `side` is the longer side of the picture."""
    dx, dy = (abs(d) for d in offset(a, b))
    if compat == "upstream":
        return 1.0 if dx < NEAR or dy < NEAR else NEAR / max(dx, dy)
    distance, reach = (dx * dx + dy * dy) ** 0.5, NEAR / SIDE * side
    return 1.0 if distance < reach else reach / distance


def position(
    relation: str,
    a: Box,
    b: Box,
    *,
    compat: Compat = "fixed",
    wording: str = "",
    side: float = SIDE,
) -> float:
    """How well box a stands in a relation to box b, in [0, 1].

    Args:
        relation: One of "left of", "right of", "above", "below", "near".
        a: The subject.
        b: The other thing.
        compat: See the module.
        wording: How the prompt words it; upstream has no rule for "on top of".
        side: The longer side of the picture in pixels.
    """
    if compat == "upstream" and wording == "on top of":
        return 0.0
    if relation == "near":
        return nearness(a, b, compat, side)
    axis, sign = _DIRECTION[relation]
    along, across = offset(a, b)[axis] * sign, abs(offset(a, b)[1 - axis])
    if along <= across:
        return 0.0
    overlap = iou(a, b)
    return 1.0 if overlap < OVERLAP else OVERLAP / overlap


def read(text: str, compat: Compat = "fixed", *, complex_prompt: bool = False) -> Related | None:
    """The relation in the plane that a prompt states, or None.

    Upstream, each thing is one word: in simple prompts the first noun of the prompt and its last,
    in complex ones those next to the relation, which has to be the only one and of a shorter
    list.
    """
    if compat == "fixed":
        return related(text, PLANE)
    wording = next((w for w in UPSTREAM_ORDER if w in text), None)
    if wording is None or (complex_prompt and _wordings(text, UPSTREAM_COMPLEX) != 1):
        return None
    before, _, after = text.partition(wording)
    first, second = chunks(before), chunks(after)
    if not first or not second:
        return None
    subject, other = (first[-1], second[0]) if complex_prompt else (first[0], second[-1])
    return Related(
        tagged(content(subject), last=complex_prompt),
        PLANE[wording],
        tagged(content(other), last=not complex_prompt),
        wording,
    )


def _wordings(text: str, wordings: Sequence[str]) -> int:
    """How many of the wordings a text contains, with repetitions."""
    count, at = 0, 0
    while (found := find_wording(text, wordings, at)) is not None:
        count, at = count + 1, found[2]
    return count


Placement = Callable[[int, int], float]
"""How well two detections, by number, stand in the relation."""


def judge_pair(
    found: Detections,
    asked: Related | None,
    place: Placement,
    compat: Compat,
    vocabulary: Collection[str] | None = None,
) -> Judgement:
    """The judgement of one picture: a quarter for each thing, half for how they stand.

    Args:
        found: The detections.
        asked: The relation that the prompt states, None when it states none.
        place: Scores two detections.
        compat: See the module.
        vocabulary: What the detector can name, see `names.matching`.
    """
    if asked is None:
        nothing = {"confidence": 0.0, "relation": 0.0}
        return Judgement(0.0, Fault.UNREAD, "no relation in the prompt", nothing)
    sure = found.confidences.tolist()
    first = matching(asked.subject, found.labels, compat, vocabulary)
    second = matching(asked.other, found.labels, compat, vocabulary)
    if compat == "upstream":
        first, second = first[:1], second[:1]
    pairs = [(i, j) for i in first for j in second if i != j or compat == "upstream"]
    if not pairs:
        return _alone(found, asked, max((sure[i] for i in first + second), default=0.0), compat)
    options = [(0.25 * (sure[i] + sure[j]) + 0.5 * place(i, j), i, j) for i, j in pairs]
    score, i, j = max(options, key=lambda option: option[0])
    stands = place(i, j)
    parts = {"confidence": (sure[i] + sure[j]) / 2, "relation": stands}
    told = f"{asked.subject!r} {asked.wording} {asked.other!r}: {stands:.2f}"
    fault = Fault.NONE if stands >= 0.5 else Fault.RELATION
    if compat == "upstream" and score < CUT:
        return Judgement(0.0, fault, f"{told}; {score:.2f} is cut to 0", parts)
    return Judgement(score, fault, told, parts)


def _alone(found: Detections, asked: Related, sure: float, compat: Compat) -> Judgement:
    """One thing or both are missing."""
    score = 0.25 * sure if compat == "fixed" else 0.0  # at most 0.25, which upstream cuts
    seen = ", ".join(found.labels) or "nothing"
    missing = f"not both of {asked.subject!r} and {asked.other!r} among {seen}"
    parts = {"confidence": sure / 2, "relation": 0.0}
    return Judgement(score, Fault.MISSING, missing, parts)


def judge_one(
    found: Detections,
    asked: Related | None,
    size: tuple[int, int],
    compat: Compat = "fixed",
    vocabulary: Collection[str] | None = None,
) -> Judgement:
    """The judgement of one picture of `size` (H, W) pixels, see `judge_pair`."""
    boxes = found.boxes.tolist()

    def place(i: int, j: int) -> float:
        relation, wording = (asked.relation, asked.wording) if asked else ("", "")
        side = float(max(size))
        return position(relation, boxes[i], boxes[j], compat=compat, wording=wording, side=side)

    return judge_pair(found, asked, place, compat, vocabulary)


def detected(detector: Detector, pictures: Tensor) -> list[Detections]:
    """What a detector sees in pictures (B, 3, H, W): B detections, on the CPU.

    Raises:
        ShapeError: Detections of another number of pictures.
    """
    found = detector.detect(pictures)
    if len(found) != len(pictures):
        raise ShapeError(
            "the detector answered for other pictures", got=len(found), expected=len(pictures)
        )
    return [Detections(f.boxes.cpu(), tuple(f.labels), f.confidences.cpu()) for f in found]


@torch.no_grad()
def judge(
    detector: Detector,
    pictures: Tensor,
    texts: Sequence[str],
    compat: Compat = "fixed",
    *,
    complex_prompts: bool = False,
) -> list[Judgement]:
    """Judgements of pictures (B, 3, H, W) in [-1, 1] with a prompt each.

    Raises:
        ShapeError: Pictures and prompts do not pair up, or detections of other pictures.
    """
    pictures = paired(pictures, texts)
    size = (pictures.shape[-2], pictures.shape[-1])
    asked = [read(text, compat, complex_prompt=complex_prompts) for text in texts]
    found = detected(detector, pictures)
    return [
        judge_one(f, a, size, compat, detector.labels) for f, a in zip(found, asked, strict=True)
    ]


@final
class Spatial2D(Judged):
    """Mean score of relations in the plane.

    Args:
        detector: UniDet RS200 in the literature.
        compat: `"fixed"` or `"upstream"`.
    """

    def __init__(self, detector: Detector, *, compat: Compat = "fixed") -> None:
        super().__init__("spatial-2d", CANONICAL, detector.source, compat)
        self.detector = detector

    def judge(self, pictures: Tensor, texts: Sequence[str]) -> list[Judgement]:
        """Judgements without keeping them, see `spatial.judge`."""
        return judge(self.detector, pictures, texts, self.compat)

    def update(self, pictures: Tensor, texts: Sequence[str], *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1] with a prompt each."""
        self.take(self.judge(pictures, texts), keys, pictures)
