"""Whether normals and edges of a picture follow the labels it was made from."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ShapeError, UsageError
from compose_metrics.dense.judged import ReadPerSample, ReadRows
from compose_metrics.dense.maps import counted, plain, refuse, same
from compose_metrics.intervals import bootstrap_mean
from compose_metrics.metric import Keys
from compose_metrics.result import JSON, Result, Source
from compose_metrics.table import KEYS

WITHIN = (11.25, 22.5, 30.0)
"""Angles in degrees whose shares are reported (Fouhey, Gupta and Hebert 2013)."""


def angles(predicted: Tensor, truth: Tensor) -> Tensor:
    """Angle in degrees (B, H, W) between vectors (B, 3, H, W) of any length; 0 / 0 gives 0.

    The arctangent of |a x b| and a . b; the arc cosine would lose half the digits near 0.
    """
    cross = torch.linalg.cross(predicted, truth, dim=1).norm(dim=1)
    return torch.rad2deg(torch.atan2(cross, (predicted * truth).sum(1)))


@final
class NormalAngle(ReadRows):
    """Mean angle between the normals of a picture and those asked for, averaged over pictures.

    The shares of pixels within 11.25, 22.5 and 30 degrees are in the parts.

    Args:
        judge: The network that read the normals, if one did; it becomes part of the id.
    """

    id = "normal-angle"
    unit = "degrees"
    higher_is_better = False

    def update(
        self, predicted: Tensor, truth: Tensor, *, valid: Tensor | None = None, keys: Keys = None
    ) -> None:
        """Take a batch.

        Args:
            predicted: Normals of the pictures (B, 3, H, W) float, of any length but zero.
            truth: Normals that were asked for, in the same frame; zero vectors are no label.
            valid: Pixels that count (B, H, W) bool; by default all that have a label.
            keys: Sample numbers.

        Raises:
            ShapeError: Maps on different pixels.
            ComposeError: A picture without valid pixels, or a normal without direction there.
        """
        same(predicted, truth, "predicted and true normals")
        if truth.dim() != 4 or truth.shape[1] != 3:
            raise ShapeError(
                "normals are not vectors", got=tuple(truth.shape), expected="(B, 3, H, W)"
            )
        p, t = predicted.double(), truth.double()
        counts = counted(valid, p, t, what="normals") & (t.norm(dim=1) > 0)
        refuse(~counts.flatten(1).any(1), "no valid pixel of the normals has a label")
        lost = (counts & (p.norm(dim=1) == 0)).flatten(1).any(1)
        refuse(lost, "predicted normals have no direction")
        angle = angles(p, t)
        pixels = counts.sum((1, 2))
        within = [((angle < a) & counts).sum((1, 2)) / pixels for a in WITHIN]
        mean = torch.where(counts, angle, torch.zeros_like(angle)).sum((1, 2)) / pixels
        self.add(keys, value=mean, within=torch.stack(within, 1))

    def compute(self) -> Result:
        """The mean over the pictures."""
        rows = self.rows()
        values, within = rows["value"], rows["within"].double().mean(0).tolist()
        return self._result(
            float(values.mean()),
            interval=bootstrap_mean(values) if len(values) > 1 else None,
            per_sample=values,
            keys=rows[KEYS],
            parts={f"within {a:g}": share for a, share in zip(WITHIN, within, strict=True)},
        )


def _near(edges: Tensor, tolerance: int) -> Tensor:
    """Pixels (B, H, W) bool no further than `tolerance` (the larger of rows and columns)."""
    wide = F.max_pool2d(edges[:, None].float(), 2 * tolerance + 1, stride=1, padding=tolerance)
    return wide[:, 0] > 0


@final
class EdgeF1(ReadPerSample):
    """F1 of edge pixels, each of which may be `tolerance` pixels away, averaged over pictures.

    Precision is the share of the picture's edges near an edge that was asked for, recall the
    share of those near an edge of the picture. Where neither has edges F1 is 1, where only one
    has it is 0.

    Args:
        tolerance: Distance in pixels, the larger of rows and columns; part of the metric, as the
            resolution is.
        threshold: Least value of an edge in real-valued maps.
        judge: The network that read the edges, if one did; it becomes part of the id.
    """

    id = "edge-f1"

    def __init__(
        self, tolerance: int = 1, threshold: float = 0.5, *, judge: Source | None = None
    ) -> None:
        super().__init__(judge)
        if tolerance < 0:
            raise UsageError("tolerance of edges", got=tolerance, expected="0 or more pixels")
        self.tolerance, self.threshold = tolerance, threshold

    def params(self) -> dict[str, JSON]:
        """Tolerance and threshold."""
        return {"tolerance": self.tolerance, "threshold": self.threshold}

    def _edges(self, values: Tensor, what: str, valid: Tensor) -> Tensor:
        values = plain(values, what)
        if values.dtype != torch.bool:
            counted(valid, values, what=what)
            values = values >= self.threshold
        return values & valid

    def update(
        self, predicted: Tensor, truth: Tensor, *, valid: Tensor | None = None, keys: Keys = None
    ) -> None:
        """Take a batch.

        Args:
            predicted: Edges of the pictures, (B, H, W) or (B, 1, H, W), bool or float.
            truth: Edges that were asked for, the same.
            valid: Pixels that count (B, H, W) bool; all by default.
            keys: Sample numbers.

        Raises:
            ShapeError: Maps on different pixels.
            ComposeError: A picture without valid pixels.
        """
        first, second = plain(predicted, "predicted edges"), plain(truth, "true edges")
        same(first, second, "predicted and true edges")
        valid = counted(valid, torch.zeros_like(first, dtype=torch.float32), what="edges")
        p = self._edges(first, "predicted edges", valid)
        t = self._edges(second, "true edges", valid)
        claimed, wanted = p.sum((1, 2)).double(), t.sum((1, 2)).double()
        right = (p & _near(t, self.tolerance)).sum((1, 2))
        found = (t & _near(p, self.tolerance)).sum((1, 2))
        precision, recall = right / claimed.clamp_min(1), found / wanted.clamp_min(1)
        f1 = 2 * precision * recall / (precision + recall).clamp_min(1e-300)
        neither = (claimed == 0) & (wanted == 0)
        self.add(keys, value=torch.where(neither, torch.ones_like(f1), f1))
