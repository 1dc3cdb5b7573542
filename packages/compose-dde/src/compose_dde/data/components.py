"""Several positions of one picture: the middles of what a classifier marks (appendix B.2.4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ShapeError

__all__ = ["centres"]


def centres(heat: Tensor, threshold: float = 0.5) -> Tensor:
    """Centres (M, 2) of the connected components of cells of at least `threshold`, as x and y.

    Cells are connected by their edges. Centres are means of the middles of cells, as fractions of
    the picture, x to the right and y down; in reading order of their first cells.

    Args:
        heat: (H, W), such as the probabilities of a classifier.
        threshold: The least.

    Raises:
        ShapeError: Not one picture.
    """
    if heat.dim() != 2:
        raise ShapeError("not one picture", got=tuple(heat.shape), expected="(H, W)")
    height, width = heat.shape
    inside = heat >= threshold
    numbers = torch.arange(1, height * width + 1, device=heat.device).reshape(height, width)
    # Each cell takes the least number among its neighbours until nothing changes.
    least = torch.where(inside, numbers.double(), torch.inf)
    while True:
        grown = torch.minimum(least, -_spread(-least))
        grown = torch.where(inside, grown, torch.inf)
        if torch.equal(grown, least):
            break
        least = grown
    found = least[inside].unique()
    rows = (torch.arange(height, device=heat.device) + 0.5) / height
    columns = (torch.arange(width, device=heat.device) + 0.5) / width
    points = [
        torch.stack(
            [columns.expand(height, -1)[m].mean(), rows[:, None].expand(-1, width)[m].mean()]
        )
        for m in (least == number for number in found)
    ]
    return torch.stack(points) if points else heat.new_zeros(0, 2)


def _spread(x: Tensor) -> Tensor:
    """The largest value of each cell and of those above, below and beside it."""
    up = F.max_pool2d(x[None], (3, 1), 1, (1, 0))[0]
    across = F.max_pool2d(x[None], (1, 3), 1, (0, 1))[0]
    return torch.maximum(up, across)
