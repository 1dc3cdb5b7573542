"""More views than core has: chosen cells, resizing, one view through another, any function.

`Window`, `Blend` and `Whole` are in `compose_core.views`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_core.views import View

__all__ = ["Nonlinear", "Pick", "Resize", "Through"]


@final
class Pick(View):
    """Chosen cells of a canvas, in any arrangement; each may be chosen more than once.

    Args:
        cells: Numbers of cells (of any shape), counted through the canvas in reading order.
        shape: The trailing axes of the canvas.

    Raises:
        UsageError: A number is not that of a cell.
    """

    crops = True

    def __init__(self, cells: Tensor, shape: Sequence[int]) -> None:
        self.cells, self.shape = cells.long(), tuple(shape)
        count = math.prod(self.shape)
        low, high = int(self.cells.min()), int(self.cells.max())
        if low < 0 or high >= count:
            raise UsageError(
                "there are no such cells", got=f"{low} to {high}", expected=f"0 to {count - 1}"
            )

    def observe(self, x: Tensor) -> Tensor:
        """`(..., *shape)` to `(..., *cells.shape)`."""
        axes = len(self.shape)
        if tuple(x.shape[-axes:]) != self.shape:
            raise ShapeError(
                "a Pick belongs to another canvas", got=tuple(x.shape), expected=self.shape
            )
        return x.flatten(-axes)[..., self.cells.to(x.device)]

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """Every value back to its cell; those of one cell are added."""
        lead = y.shape[: y.dim() - self.cells.dim()]
        flat = y.new_zeros((*lead, math.prod(self.shape)))
        flat.index_add_(len(lead), self.cells.flatten().to(y.device), y.flatten(len(lead)))
        return flat.reshape(*lead, *self.shape)

    def weight(self, shape: Sequence[int]) -> Tensor:
        """How often each cell is chosen."""
        return self.adjoint(torch.ones(self.cells.shape, dtype=torch.float64), shape)


@final
class Resize(View):
    """A canvas at another size: linear on each trailing axis.

    Enlarging interpolates between the centres of cells, with the edge going on as it ends;
    reducing averages what each new cell covers. Cells then share noise, or average it, and a
    network that was trained on white noise notices: see the page of the method.

    Args:
        size: The new size of each trailing axis.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.size = tuple(size)
        if min(self.size, default=0) < 1:
            raise UsageError("a size is positive", got=self.size)

    def observe(self, x: Tensor) -> Tensor:
        """`(..., *from)` to `(..., *size)`."""
        axes = len(self.size)
        if x.dim() < axes:
            raise ShapeError("a Resize has more axes than the canvas", got=tuple(x.shape))
        return self._along(x, x.shape[-axes:], transpose=False)

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """The transpose, onto a canvas `shape`."""
        return self._along(y, shape[len(shape) - len(self.size) :], transpose=True)

    def weight(self, shape: Sequence[int]) -> Tensor:
        """The diagonal of `A' A`: on each axis the sums of squares of the columns."""
        total = torch.ones(tuple(shape), dtype=torch.float64)
        for axis, (old, new) in enumerate(zip(shape[-len(self.size) :], self.size, strict=True)):
            tail = (1,) * (len(self.size) - axis - 1)
            total = total * (_rows(old, new) ** 2).sum(0).reshape(-1, *tail)
        return total

    def _along(self, x: Tensor, old: Sequence[int], *, transpose: bool) -> Tensor:
        for axis, (before, after) in enumerate(zip(old, self.size, strict=True)):
            rows, place = _rows(before, after).to(x), x.dim() - len(self.size) + axis
            x = (x.movedim(place, -1) @ (rows if transpose else rows.T)).movedim(-1, place)
        return x


def _rows(old: int, new: int) -> Tensor:
    """Each new cell as weights `(new, old)` of old ones, summing to one, in float64."""
    if new < old:
        edges = torch.arange(old + 1, dtype=torch.float64)
        bounds = torch.arange(new + 1, dtype=torch.float64) * old / new
        low, high = bounds[:-1, None], bounds[1:, None]
        covered = torch.minimum(high, edges[1:]) - torch.maximum(low, edges[:-1])
        return covered.clamp_min(0) * new / old
    centres = (torch.arange(new, dtype=torch.float64) + 0.5) * old / new - 0.5
    distance = (centres.clamp(0, old - 1)[:, None] - torch.arange(old, dtype=torch.float64)).abs()
    return (1 - distance).clamp_min(0)


@final
@dataclass(frozen=True)
class Through(View):
    """What `second` sees of what `first` sees: a window of a blend, a resized crop.

    Args:
        first: Sees the canvas.
        second: Sees its observation.
        between: The trailing axes of that observation.
    """

    first: View
    second: View
    between: tuple[int, ...]

    def __post_init__(self) -> None:
        """It is a crop if both are."""
        object.__setattr__(self, "crops", self.first.crops and self.second.crops)

    def observe(self, x: Tensor) -> Tensor:
        """One after the other."""
        return self.second.observe(self.first.observe(x))

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """The transposes in the other order."""
        return self.first.adjoint(self.second.adjoint(y, self.between), shape)

    def weight(self, shape: Sequence[int]) -> Tensor:
        """The diagonal of `A' A`.

        Raises:
            UsageError: One of both is no crop: the diagonal is then not made of theirs.
        """
        if not self.crops:
            raise UsageError("the weight of a view through another is known for crops only")
        return self.adjoint(torch.ones(self.second.observe(torch.ones(self.between)).shape), shape)


@final
@dataclass(frozen=True)
class Nonlinear:
    """An observation by any differentiable function, for the solver `"gd"`.

    It is no `View`: there is no adjoint, and the closed form does not hold.

    Args:
        function: A canvas `(B, C, *spatial)` to what is observed, `(B, C', *observed)`; each
            sample on its own, differentiable by torch.
    """

    function: Callable[[Tensor], Tensor]

    def observe(self, x: Tensor) -> Tensor:
        """`f(x)`."""
        return self.function(x)
