"""Mean IoU and pixel accuracy of a whole data set, with both conventions for void pixels.

The classes seen in the pictures are compared with the label maps that were asked for. Counts are
summed over the data set before anything is divided (the confusion matrix of Everingham et al. and
of Cityscapes); averaging the IoU of each picture is another number. Pixels that the truth leaves
void are either left out (`"ignored"`) or counted, where no prediction can be right (`"counted"`):
published accuracies of one model differ by ten points because of this, so both are reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, final, get_args

import torch
from torch import Tensor

from compose_core.errors import ComposeError, UsageError
from compose_metrics.dense.judged import ReadRows
from compose_metrics.dense.maps import plain, same
from compose_metrics.intervals import bootstrap_means
from compose_metrics.metric import Keys
from compose_metrics.result import JSON, Interval, Result, Source

Void = Literal["ignored", "counted"]
DRAWS = 1000


def confusion(predicted: Tensor, truth: Tensor, classes: int, void: int = 255) -> Tensor:
    """Pixel counts (B, classes + 1, classes + 1): row = truth, column = prediction.

    The last row and column are the void pixels.

    Args:
        predicted: Classes (B, H, W) int in 0 ... classes - 1; `void` where none was seen.
        truth: Classes that were asked for, the same.
        classes: How many there are.
        void: The number of no class.

    Raises:
        ShapeError: Maps on different pixels.
        ComposeError: A number that is neither a class nor void.
    """
    p, t = plain(predicted, "predicted classes"), plain(truth, "true classes")
    same(p, t, "predicted and true classes")
    for values, what in ((p, "predicted"), (t, "true")):
        if values.is_floating_point() or values.dtype == torch.bool:
            raise ComposeError(f"{what} classes are not integers", got=values.dtype)
        foreign = values[(values != void) & ((values < 0) | (values >= classes))]
        if len(foreign):
            raise ComposeError(
                f"{what} classes hold numbers of no class",
                got=sorted({int(v) for v in foreign.unique()[:8]}),
                expected=f"0 ... {classes - 1}, or {void} for void",
                remedy="map the labels to the classes that are evaluated first",
            )
    side = classes + 1
    p, t = (torch.where(v == void, torch.full_like(v, classes).long(), v.long()) for v in (p, t))
    picture = torch.arange(len(p), device=p.device)[:, None, None]
    flat = ((picture * side + t) * side + p).flatten()
    return torch.bincount(flat, minlength=len(p) * side * side).view(len(p), side, side)


def _miou(hits: Tensor, truth: Tensor, claimed: Tensor) -> Tensor:
    """Mean of hits / union over the classes (last dimension) that occur at all."""
    union = truth + claimed - hits
    present = union > 0
    iou = torch.where(present, hits / union.clamp_min(1e-300), torch.zeros_like(hits))
    return iou.sum(-1) / present.sum(-1).clamp_min(1)


def _accuracy(hits: Tensor, pixels: Tensor) -> Tensor:
    return hits.sum(-1) / pixels.squeeze(-1).clamp_min(1e-300)


class _Segmentation(ReadRows):
    """Base of both: margins of the confusion matrix of each picture.

    Args:
        classes: How many classes there are.
        void: The number that stands for no class.
        convention: What happens to void pixels of the truth; the other value is in the parts.
        names: Names of the classes, for the parts.
        judge: The network that read the classes, if one did; it becomes part of the id.
    """

    def __init__(
        self,
        classes: int,
        *,
        void: int = 255,
        convention: Void = "ignored",
        names: tuple[str, ...] | None = None,
        judge: Source | None = None,
    ) -> None:
        super().__init__(judge)
        if classes < 1 or 0 <= void < classes:
            raise UsageError(
                "classes and void do not go together",
                got=f"{classes} classes, void = {void}",
                expected="at least one class, and a number of no class for void",
            )
        if convention not in get_args(Void):
            raise UsageError(
                "unknown convention for void pixels", got=convention, expected=get_args(Void)
            )
        if names is not None and len(names) != classes:
            raise UsageError("names of the classes", got=len(names), expected=classes)
        self.classes, self.void, self.names = classes, void, names
        self.convention: Void = convention

    def params(self) -> dict[str, JSON]:
        """Classes and convention."""
        return {"classes": self.classes, "void": self.void, "convention": self.convention}

    def update(self, predicted: Tensor, truth: Tensor, *, keys: Keys = None) -> None:
        """Take a batch of class maps, see `confusion`."""
        matrix = confusion(predicted, truth, self.classes, self.void)
        inner = matrix[:, :-1, :-1]
        self.add(
            keys,
            hits=inner.diagonal(dim1=1, dim2=2),
            truth=matrix[:, :-1].sum(2),
            claimed=inner.sum(1),
            claimed_void=matrix[:, -1, :-1],
            void=matrix[:, -1].sum(1, keepdim=True),
        )

    def _counts(self, convention: Void) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Hits, truth and claims of each class (n, C), and pixels (n, 1), float64."""
        rows = {name: column.double() for name, column in self.rows().items()}
        pixels = rows["truth"].sum(1, keepdim=True)
        if convention == "ignored":
            return rows["hits"], rows["truth"], rows["claimed"], pixels
        claimed = rows["claimed"] + rows["claimed_void"]
        return rows["hits"], rows["truth"], claimed, pixels + rows["void"]

    def _bootstrapped(self, counts: Tensor, value: Callable[[Tensor], Tensor]) -> Interval | None:
        """Interval of a value of the summed counts, by drawing pictures again."""
        if self.n < 2:
            return None
        drawn = value(bootstrap_means(counts, draws=DRAWS))
        low, high = torch.quantile(drawn, torch.tensor([0.025, 0.975], dtype=drawn.dtype)).tolist()
        how = f"percentile bootstrap over pictures, {DRAWS} draws"
        return Interval(low=low, high=high, how=how)

    def _some(self, pixels: Tensor) -> None:
        if not bool(pixels.sum() > 0):
            raise ComposeError(
                f"{self.id} has nothing to compare", got="only void pixels", expected="labels"
            )


def _other(convention: Void) -> Void:
    return "counted" if convention == "ignored" else "ignored"


@final
class MeanIoU(_Segmentation):
    """Mean over classes of the intersection over union, from counts of the whole data set.

    Classes that neither the truth nor a prediction contains are left out of the mean.
    """

    id = "miou"

    def compute(self) -> Result:
        """The mean IoU; the IoU of each class and the other convention are in the parts."""
        hits, truth, claimed, pixels = self._counts(self.convention)
        self._some(pixels)
        sums = (hits.sum(0), truth.sum(0), claimed.sum(0))
        other = (c.sum(0) for c in self._counts(_other(self.convention))[:3])
        parts = {f"void {_other(self.convention)}": float(_miou(*other))}
        union = sums[1] + sums[2] - sums[0]
        for k in (union > 0).nonzero().flatten().tolist():
            name = self.names[k] if self.names else f"class {k}"
            parts[name] = float(sums[0][k] / union[k])
        stacked = torch.stack([hits, truth, claimed], 1)
        interval = self._bootstrapped(stacked, lambda m: _miou(*m.unbind(1)))
        return self._result(float(_miou(*sums)), interval=interval, parts=parts)


@final
class PixelAccuracy(_Segmentation):
    """Share of the pixels of the whole data set whose class is right."""

    id = "pixel-accuracy"

    def compute(self) -> Result:
        """The accuracy; the other convention is in the parts."""
        hits, _, _, pixels = self._counts(self.convention)
        self._some(pixels)
        other = self._counts(_other(self.convention))
        parts: dict[str, float] = {}
        if bool(other[3].sum() > 0):
            name = f"void {_other(self.convention)}"
            parts[name] = float(_accuracy(other[0].sum(0), other[3].sum(0)))
        stacked = torch.cat([hits, pixels], 1)
        interval = self._bootstrapped(stacked, lambda m: _accuracy(m[:, :-1], m[:, -1:]))
        value = float(_accuracy(hits.sum(0), pixels.sum(0)))
        return self._result(value, interval=interval, parts=parts)
