"""Whether an object stands at each of the places asked for, the protocol of CLEVR positions.

A picture is made from L positions. A judge says for each of them whether an object is there. The
joint accuracy asks for all L at once, as the table of Diffusion Domain Expansion does; with L
growing it falls like a power of the accuracy per condition, so both are reported.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_metrics.dense.judged import ReadRows
from compose_metrics.intervals import wilson
from compose_metrics.metric import Keys
from compose_metrics.result import JSON, Result, Source
from compose_metrics.table import KEYS


def placed(found: Tensor, wanted: Tensor, tolerance: float) -> Tensor:
    """Which wanted positions have an object of their own nearby: (L,) bool.

    One object cannot stand for two positions: as many positions as possible are served, earlier
    ones first.

    Args:
        found: Centres of the objects (M, 2), as fractions of the picture.
        wanted: Positions that were asked for (L, 2), likewise.
        tolerance: Largest distance of the two, as a fraction of the picture.

    Raises:
        ShapeError: Not lists of points.
    """
    for points, what in ((found, "found"), (wanted, "wanted")):
        if points.dim() != 2 or points.shape[1] != 2:
            raise ShapeError(f"{what} is no list of points", got=tuple(points.shape))
    near = (torch.cdist(wanted.double(), found.double()) <= tolerance).tolist()
    owner: dict[int, int] = {}
    hit = [_serve(position, near, owner, set()) for position in range(len(wanted))]
    return torch.tensor(hit, dtype=torch.bool)


def _serve(position: int, near: list[list[bool]], owner: dict[int, int], tried: set[int]) -> bool:
    """Find an object for a position, moving earlier ones to other objects (Kuhn's algorithm)."""
    for candidate, close in enumerate(near[position]):
        if not close or candidate in tried:
            continue
        tried.add(candidate)
        if candidate not in owner or _serve(owner[candidate], near, owner, tried):
            owner[candidate] = position
            return True
    return False


@final
class PositionAccuracy(ReadRows):
    """Share of pictures with an object at every position asked for.

    The parts hold the accuracy `per condition` with the ends of its interval, and the joint one
    for each number of positions (`joint of 3`) where pictures differ in it. Wilson's interval per
    condition takes the conditions as independent, which those of one picture are not quite.

    Args:
        judge_accuracy: Accuracy of the judge on real pictures, which bounds what can be reached.
        chance: Joint accuracy of pictures made without the positions.
        judge: The network that gave the verdicts, if one did; it becomes part of the id.
    """

    id = "position-accuracy"

    def __init__(
        self,
        *,
        judge_accuracy: float | None = None,
        chance: float | None = None,
        judge: Source | None = None,
    ) -> None:
        super().__init__(judge)
        for share in (judge_accuracy, chance):
            if share is not None and not 0 <= share <= 1:
                raise UsageError("an accuracy is a share", got=share, expected="0 ... 1")
        self.judge_accuracy, self.chance = judge_accuracy, chance

    def params(self) -> dict[str, JSON]:
        """What is known of the judge."""
        return {"judge_accuracy": self.judge_accuracy, "chance": self.chance}

    def update(self, there: Tensor, *, keys: Keys = None) -> None:
        """Take a batch.

        Args:
            there: Verdict for each position of each picture (B, L) bool; L at least 1, and it may
                differ from batch to batch.
            keys: Sample numbers.

        Raises:
            ShapeError: Not such verdicts.
        """
        if there.dim() != 2 or there.dtype != torch.bool or there.numel() == 0:
            raise ShapeError(
                "verdicts on positions",
                got=f"{there.dtype} {tuple(there.shape)}",
                expected="(B, L) bool, at least one position",
            )
        hits = there.sum(1)
        self.add(keys, hits=hits, conditions=torch.full_like(hits, there.shape[1]))

    def compute(self) -> Result:
        """The joint accuracy with Wilson's interval."""
        rows = self.rows()
        hits, conditions = rows["hits"], rows["conditions"]
        joint = hits == conditions
        each = wilson(int(hits.sum()), int(conditions.sum()))
        parts = {
            "per condition": int(hits.sum()) / int(conditions.sum()),
            "per condition, low": each.low,
            "per condition, high": each.high,
        }
        counts = conditions.unique().tolist()
        for count in counts if len(counts) > 1 else []:
            parts[f"joint of {count}"] = float(joint[conditions == count].double().mean())
        return self._result(
            float(joint.double().mean()),
            interval=wilson(int(joint.sum()), self.n),
            per_sample=joint.double(),
            keys=rows[KEYS],
            parts=parts,
        )
