"""From dense readings to objects: what is in a picture, where, and in which colour and shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_worlds.judge.network import JudgeNet, Readings
from compose_worlds.primitives.render import SEMANTICS
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS

FIRST_SHAPE = SEMANTICS.index("wall") + 1
PEAK = 0.35
"""Least probability of a centre."""
LEAST = 12
"""Objects of fewer pixels (at 64 x 64) are not counted: too small to tell their shape."""


@dataclass(frozen=True)
class Found:
    """One object that the judge sees.

    Attributes:
        shape, color: names.
        box: x0, y0, x1, y1 of its visible pixels, fractions of the picture.
        centre: mean of its visible pixels, fractions.
        depth: median depth in metres.
        pixels: number of its visible pixels.
        mask: (H, W) bool, those pixels.
    """

    shape: str
    color: str
    box: tuple[float, float, float, float]
    centre: tuple[float, float]
    depth: float
    pixels: int
    mask: Tensor


def _peaks(heat: Tensor) -> Tensor:
    """Local maxima of the centre probability: (H, W) -> (N, 2) as y, x."""
    highest = F.max_pool2d(heat[None, None], 7, stride=1, padding=3)[0, 0]
    return ((heat == highest) & (heat > PEAK)).nonzero()


def _assign(readings: Readings, index: int, inside: Tensor, peaks: Tensor) -> Tensor:
    """Number of the centre that each inside pixel points to: (P,)."""
    height, width = inside.shape
    y, x = inside.nonzero(as_tuple=True)
    points = torch.stack([(x + 0.5) / width, (y + 0.5) / height], -1)
    points = points + readings.offset[index, :, y, x].t()
    centres = torch.stack([(peaks[:, 1] + 0.5) / width, (peaks[:, 0] + 0.5) / height], -1)
    return torch.cdist(points, centres.to(points)).argmin(-1)


def objects(readings: Readings, index: int = 0) -> list[Found]:
    """The objects of one picture of a batch, nearest first."""
    semantics = readings.semantics[index].argmax(0)
    inside = semantics >= FIRST_SHAPE
    peaks = _peaks(readings.centre[index, 0].sigmoid())
    if not inside.any() or len(peaks) == 0:
        return []
    owner = torch.full_like(semantics, -1)
    owner[inside] = _assign(readings, index, inside, peaks)
    area = inside.numel() / 4096
    found = [_describe(readings, index, owner == n) for n in range(len(peaks))]
    kept = [f for f in found if f is not None and f.pixels >= LEAST * area]
    return sorted(kept, key=lambda f: f.depth)


def _describe(readings: Readings, index: int, mask: Tensor) -> Found | None:
    if not mask.any():
        return None
    height, width = mask.shape
    shape = readings.semantics[index, FIRST_SHAPE:, mask].log_softmax(0).sum(1).argmax()
    color = readings.color[index, 1:, mask].log_softmax(0).sum(1).argmax()
    y, x = mask.nonzero(as_tuple=True)
    return Found(
        shape=SHAPES[int(shape)],
        color=list(COLORS)[int(color)],
        box=(
            float(x.min()) / width,
            float(y.min()) / height,
            float(x.max() + 1) / width,
            float(y.max() + 1) / height,
        ),
        centre=((float(x.float().mean()) + 0.5) / width, (float(y.float().mean()) + 0.5) / height),
        depth=1 / max(float(readings.depth[index, 0, mask].median()), 1e-3),
        pixels=int(mask.sum()),
        mask=mask,
    )


@torch.no_grad()
def read(network: JudgeNet, pictures: Tensor, batch: int = 64) -> list[list[Found]]:
    """Objects of many pictures: (B, 3, H, W) in [-1, 1]."""
    found: list[list[Found]] = []
    for chunk in pictures.split(batch):
        readings = network(chunk)
        found += [objects(readings, i) for i in range(len(chunk))]
    return found


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / max(areas - width * height, 1e-9)
