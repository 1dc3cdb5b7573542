"""Scores of the tiny models on held-out scenes and captions, as their manifests state them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from compose_worlds.judge import JudgeNet, Verdict, objects, read, verdict
from compose_worlds.primitives import cache, draw
from compose_worlds.primitives.captions import Caption
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS

VISIBLE = 40
"""Pixels from which an object counts as visible, at 64 x 64."""


@dataclass(frozen=True)
class Share:
    """A share with its 95 % Wilson interval."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """Hits / n."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval."""
        if not self.n:
            return math.nan, math.nan
        z, n, p = 1.96, self.n, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return middle - half, middle + half

    def __str__(self) -> str:
        """As a table shows it."""
        low, high = self.interval
        return f"{self.value:.3f} [{low:.3f}, {high:.3f}] n={self.n}"


def share(hits: list[bool]) -> Share:
    """Share of true values."""
    return Share(sum(hits), len(hits))


def row(value: Share | float) -> object:
    """As a manifest records it."""
    if not isinstance(value, Share):
        return round(value, 4)
    interval = [round(v, 4) for v in value.interval]
    return {"value": round(value.value, 4), "interval": interval, "n": value.n}


def captions(kind: str, count: int, start: int = cache.HELD_OUT) -> list[Caption]:
    """Held-out captions of a kind: "one", "two" (with or without relation) or "relation".

    Only captions that name every object of their scene, and no equal objects, are taken.
    """
    found: list[Caption] = []
    number = start
    while len(found) < count:
        scene, claims = draw.scene(number)
        caption = draw.caption(scene, claims, number)
        wanted = 1 if kind == "one" else 2
        plain = caption.complete and len(caption.claims) == wanted
        plain = plain and all(c.count == 1 for c in caption.claims)
        if plain and (kind != "relation" or caption.relations):
            found.append(caption)
        number += 1
    return found


def judge(network: JudgeNet, pictures: Tensor, claims: list[Caption]) -> list[Verdict]:
    """Verdicts on pictures (B, 3, H, W) in [-1, 1]."""
    found = read(network, pictures)
    return [verdict(c, f) for c, f in zip(claims, found, strict=True)]


def summary(verdicts: list[Verdict], claims: list[Caption]) -> dict[str, Share]:
    """Shares of verdicts: each claim, all claims, exactly these, and each relation by name."""
    out = {
        "objects": share([c for v in verdicts for c in v.claims]),
        "all": share([v.all for v in verdicts]),
        "exact": share([v.exact for v in verdicts]),
    }
    held: dict[str, list[bool]] = {}
    for given, caption in zip(verdicts, claims, strict=True):
        for value, relation in zip(given.relations, caption.relations, strict=True):
            if value is not None:
                held.setdefault(relation.name, []).append(value)
    return out | {f"relation: {k}": share(v) for k, v in sorted(held.items())}


@torch.no_grad()
def judge_on_renders(network: JudgeNet, folder: Path, count: int = 1024) -> dict[str, Share]:
    """The judge's own accuracy on held-out renders.

    "object": a visible object's pixels carry its shape and colour (majority of logits);
    "pixels": class of each pixel; "count": as many objects found as are visible; "scene": exactly
    the visible objects, by shape and colour.
    """
    names = ("picture", "semantics", "instance", "color")
    data = cache.load(folder, range(cache.HELD_OUT, cache.HELD_OUT + count), names)
    hits: dict[str, list[bool]] = {"object": [], "count": [], "scene": []}
    right = total = 0
    for start in range(0, count, 64):
        part = {k: v[start : start + 64] for k, v in data.items()}
        readings = network(part["picture"].float() / 127.5 - 1)
        classes = readings.semantics.argmax(1)
        right += int((classes == part["semantics"]).sum())
        total += classes.numel()
        for i in range(len(classes)):
            true = _true_objects(part, i)
            sure = {k: m for k, m in true.items() if int(m.sum()) >= VISIBLE}
            found = objects(readings, i)
            seen = Counter((f.shape, f.color) for f in found)
            for (_, shape, color), mask in sure.items():
                logits = readings.semantics[i, 3:, mask].log_softmax(0).sum(1)
                tint = readings.color[i, 1:, mask].log_softmax(0).sum(1)
                good = int(logits.argmax()) == SHAPES.index(shape)
                hits["object"].append(good and int(tint.argmax()) == list(COLORS).index(color))
            if len(sure) == len(true):
                hits["count"].append(len(found) == len(true))
                hits["scene"].append(seen == Counter((s, c) for _, s, c in true))
    return {k: share(v) for k, v in hits.items()} | {"pixels": Share(right, total)}


def _true_objects(part: dict[str, Tensor], i: int) -> dict[tuple[int, str, str], Tensor]:
    found: dict[tuple[int, str, str], Tensor] = {}
    for number in part["instance"][i].unique().tolist():
        if number == 255:
            continue
        mask = part["instance"][i] == number
        shape = SHAPES[int(part["semantics"][i][mask][0]) - 3]
        color = list(COLORS)[int(part["color"][i][mask][0])]
        found[(number, shape, color)] = mask
    return found
