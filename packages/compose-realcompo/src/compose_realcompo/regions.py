"""Where the regions of a scene lie, as binary masks at the resolution of attention.

Boxes and masks say it themselves. A group of keypoints, and a segment, are surrounded by the box
of their extreme points (Eq. 8); of a segment, its true shape may be taken instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compose_core.conditions import Box, Condition, Keypoints, Mask, Segments
from compose_core.images import Array, resize

__all__ = ["Shape", "box_of", "lost", "mask_of", "surrounding"]

Shape = Literal["box", "true"]
"""Whether a segment is its bounding box (the paper) or the pixels that it has."""


def box_of(points: Keypoints, padding: float = 0.0) -> Box:
    """Eq. 8: the least box around a group of points, wider by `padding` on each side.

    Points on one line give a box that is at least a thousandth of the canvas wide.
    """
    x, y = zip(*points.points.values(), strict=True)
    return _bounded(min(x) - padding, min(y) - padding, max(x) + padding, max(y) + padding)


def _bounded(x0: float, y0: float, x1: float, y1: float, least: float = 1e-3) -> Box:
    x0, x1 = _apart(min(max(x0, 0.0), 1.0), min(max(x1, 0.0), 1.0), least)
    y0, y1 = _apart(min(max(y0, 0.0), 1.0), min(max(y1, 0.0), 1.0), least)
    return Box(x0, y0, x1, y1)


def _apart(low: float, high: float, least: float) -> tuple[float, float]:
    if high - low >= least:
        return low, high
    low = min(low, 1.0 - least)
    return low, low + least


def mask_of(
    conditions: Sequence[Condition],
    size: tuple[int, int],
    *,
    shape: Shape = "box",
    padding: float = 0.0,
    truncate: bool = False,
    covered: tuple[float, float] = (1.0, 1.0),
) -> Tensor | None:
    """Where a layer is, (h', w') of 0 and 1; None when it does not say.

    A mask rules, then a segment, then a group of keypoints, then a box. A cell belongs to a region
    that covers half of it; of a region that covers half of no cell, those that it covers most.

    Args:
        conditions: Of one layer.
        size: (h', w').
        shape: See `Shape`.
        padding: Around keypoints, as a share of the canvas.
        truncate: Cut corners of boxes down to whole cells, as the published code does; a thin box
            then may hold no cell.
        covered: Share of the rows and of the columns of cells that the canvas fills, less than 1
            where latents are no multiple of a cell and the last one reaches beyond them.
    """
    for condition in conditions:
        if isinstance(condition, Mask):
            return _cells(resize(_padded(condition.values, covered), *size), covered)
        if isinstance(condition, Segments) and shape == "true":
            there = (condition.values > 0).astype(np.float32)
            return _cells(resize(_padded(there, covered), *size), covered)
    box = surrounding(conditions, padding=padding)
    if box is None:
        return None
    if covered != (1.0, 1.0):
        y, x = covered
        box = Box(box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y)
    return _truncated(box, size) if truncate else _cells(box.coverage(*size), covered)


def _padded(values: Array, covered: tuple[float, float]) -> Array:
    """A map with empty rows and columns where cells reach beyond the canvas."""
    if covered == (1.0, 1.0):
        return values
    more = [(0, round(n / share) - n) for n, share in zip(values.shape, covered, strict=True)]
    return np.pad(values, more)


def lost(
    conditions: Sequence[Condition], mask: Tensor, covered: tuple[float, float] = (1.0, 1.0)
) -> float:
    """Share of a layer's own mask that its cells (h', w') leave out; 0 without a mask."""
    for condition in conditions:
        if isinstance(condition, Mask):
            whole = torch.from_numpy(
                resize(_padded(condition.values, covered), *mask.shape).copy()
            )
            return float((whole * (1 - mask)).sum() / whole.sum().clamp_min(1e-9))
    return 0.0


def surrounding(conditions: Sequence[Condition], *, padding: float = 0.0) -> Box | None:
    """The box of a layer, from whatever says where it is; None when nothing does.

    Args:
        conditions: Of one layer.
        padding: Around keypoints, as a share of the canvas.
    """
    kinds = [Mask, Segments, Keypoints, Box]
    places = [x for x in conditions if type(x) in kinds]
    for condition in sorted(places, key=lambda x: kinds.index(type(x))):
        match condition:
            case Mask():
                box = _around(condition.values >= min(0.5, float(condition.values.max()) / 2))
            case Segments():
                box = _around(condition.values > 0)
            case Keypoints():
                box = box_of(condition, padding)
            case _:
                box = condition if isinstance(condition, Box) else None
        if box is not None:
            return box
    return None


def _cells(coverage: Array, covered: tuple[float, float]) -> Tensor:
    if covered != (1.0, 1.0):  # half of what lies on the canvas of a cell is enough
        coverage = coverage / Box(0.0, 0.0, covered[1], covered[0]).coverage(*coverage.shape)
    values = torch.from_numpy(np.array(coverage, dtype=np.float32))
    most = float(values.max())
    if most <= 0:
        return torch.zeros_like(values)
    return (values >= min(0.5, 0.999 * most)).float()


def _around(there: NDArray[np.bool_]) -> Box | None:
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    if not len(rows):
        return None
    h, w = there.shape
    return _bounded(columns[0] / w, rows[0] / h, (columns[-1] + 1) / w, (rows[-1] + 1) / h)


def _truncated(box: Box, size: tuple[int, int]) -> Tensor:
    h, w = size
    mask = torch.zeros(h, w)
    mask[int(h * box.y0) : int(h * box.y1), int(w * box.x0) : int(w * box.x1)] = 1
    return mask
