"""Can it be seen where one view ends and another begins?"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ShapeError
from compose_metrics.metric import Keys, PerSample
from compose_metrics.pictures import sizes, taken

__all__ = ["Seams", "jump"]


@final
class Seams(PerSample):
    """Mean of `jump`: 1 where borders are like any other place, more where they are seen."""

    id = "seam"
    higher_is_better = False

    def update(self, pictures: Tensor, owners: Tensor, *, keys: Keys = None) -> None:
        """Take pictures (B, 3, H, W) in [-1, 1] and whom each cell belongs to, (B, h, w)."""
        pictures = taken(pictures)
        self.add(keys, value=jump(pictures, owners), size=sizes(pictures))


def jump(pictures: Tensor, owners: Tensor) -> Tensor:
    r"""How much colours jump from one view to the next, over how much they do inside of views.

    Pictures are averaged over cells. Of all neighbours along an axis, those with different owners
    lie across a border. The result is the mean difference of these over that of the others,

    .. math:: \frac{\sum_{across} |d|}{\sum_{axes} n_{axis} \, \overline{|d|}_{inside, axis}} ,

    so that each axis is compared with itself, as often as it has borders.

    Args:
        pictures: (B, 3, H, W).
        owners: (B, h, w), a number for each cell; H and W are multiples of h and w.

    Returns:
        (B,), float64.

    Raises:
        ShapeError: The cells do not divide the pictures, or a picture has no border.
    """
    height, width = owners.shape[-2:]
    if pictures.shape[-2] % height or pictures.shape[-1] % width or len(pictures) != len(owners):
        raise ShapeError(
            "these cells do not fit the pictures",
            got=f"{tuple(pictures.shape)} and {tuple(owners.shape)}",
            expected="one map for each picture, whose sides divide those of the picture",
        )
    cells = F.adaptive_avg_pool2d(pictures.double(), (height, width))
    across = expected = torch.zeros(len(pictures), dtype=torch.float64)
    for axis in (1, 2):
        moved = cells.diff(dim=axis + 1).abs().mean(1)
        border = owners.diff(dim=axis) != 0
        inside = (moved * ~border).sum((1, 2)) / (~border).sum((1, 2)).clamp_min(1)
        across = across + (moved * border).sum((1, 2))
        expected = expected + inside * border.sum((1, 2))
    if not bool(
        (owners.diff(dim=1) != 0)
        .any((1, 2))
        .logical_or((owners.diff(dim=2) != 0).any((1, 2)))
        .all()
    ):
        raise ShapeError("a picture without a border has no seam", got="one owner of all cells")
    floor = 1 / 255
    return (across + floor) / (expected + floor)
