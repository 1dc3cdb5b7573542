"""Views: linear observations of a canvas, and their adjoints.

A view says how a part of a composition sees the whole: `y = A x`. A `Window` is a crop that may
wrap around, `Whole` is everything, `Blend` is a mixture of several canvases through masks. All
work on tensors `(B, ..., *spatial)` and on any number of axes: sound, pictures, volumes.

`A` is linear and `adjoint` is its transpose, `<A x, y> = <x, A' y>`; consensus over views is a
least-squares problem in these two (see `compose_core.compose`).
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError

Profile = Literal["mean", "hann", "gaussian"]
"""How a view's trust falls from its middle to its edge; see `profile`."""

_Piece = tuple[slice, slice]
"""Where a run of cells lies on the canvas, and where in the window."""


class View(ABC):
    """A linear observation `A` of a canvas.

    Attributes:
        crops: Whether each observed cell shows at most one cell of the canvas. Then `A' W A` is
            diagonal for any weights `W`, and least squares has a closed form.
    """

    crops: bool = False

    @abstractmethod
    def observe(self, x: Tensor) -> Tensor:
        """`A x`: what the view sees of the canvas `x`."""

    @abstractmethod
    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """`A' y` on a canvas whose trailing axes are `shape`; zero where the view sees nothing."""

    @abstractmethod
    def weight(self, shape: Sequence[int]) -> Tensor:
        """The diagonal of `A' A`: how much of each cell of a canvas `shape` is seen, in float64.

        It is positive exactly where the cell is covered.
        """

    def accumulate(self, canvas: Tensor, y: Tensor, shape: Sequence[int]) -> Tensor:
        """`canvas + A' y`; the canvas may be changed in place, use what is returned."""
        return canvas + self.adjoint(y, shape)


@final
@dataclass(frozen=True)
class Whole(View):
    """Sees everything as it is. The same tensor comes back, so identical questions stay so."""

    crops = True

    def observe(self, x: Tensor) -> Tensor:
        """`x` itself."""
        return x

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """`y` itself."""
        return y

    def weight(self, shape: Sequence[int]) -> Tensor:
        """One everywhere."""
        return torch.ones(tuple(shape), dtype=torch.float64)


@final
@dataclass(frozen=True)
class Window(View):
    """A crop of the trailing axes.

    Args:
        start: The first cell on each of the last `len(start)` axes. On a wrapped axis any whole
            number; elsewhere the window must lie inside the canvas.
        size: The number of cells on each.
        wrap: Whether the last cell of an axis is beside its first. A window may then be longer
            than the canvas, and sees it more than once. By default no axis is wrapped.

    Raises:
        ShapeError: The lengths differ or a size is not positive; when observing, the window does
            not fit in the canvas.
    """

    start: tuple[int, ...]
    size: tuple[int, ...]
    wrap: tuple[bool, ...] = ()

    crops = True

    def __post_init__(self) -> None:
        """Fill in `wrap` and check."""
        if not self.wrap:
            object.__setattr__(self, "wrap", (False,) * len(self.start))
        if not len(self.start) == len(self.size) == len(self.wrap) or min(self.size) < 1:
            raise ShapeError(
                "a window needs a start, a positive size and a wrap for each axis",
                got=f"start={self.start}, size={self.size}, wrap={self.wrap}",
            )

    def observe(self, x: Tensor) -> Tensor:
        """The cells of the window: `(..., *spatial)` to `(..., *size)`; without wrap a view."""
        for axis, runs in enumerate(self._runs(x.shape), start=x.dim() - len(self.start)):
            cuts = [x.narrow(axis, run.start, run.stop - run.start) for run, _ in runs]
            x = cuts[0] if len(cuts) == 1 else torch.cat(cuts, axis)
        return x

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """`y` pasted in its place on zeros; cells seen twice get the sum."""
        lead = y.dim() - len(shape)
        canvas = y.new_zeros((*y.shape[:lead], *shape))
        return self.accumulate(canvas, y, shape)

    def weight(self, shape: Sequence[int]) -> Tensor:
        """How often the window shows each cell: 0 or 1, more when longer than a wrapped axis."""
        inside = (*shape[: len(shape) - len(self.size)], *self.size)
        return self.adjoint(torch.ones(inside, dtype=torch.float64), shape)

    def accumulate(self, canvas: Tensor, y: Tensor, shape: Sequence[int]) -> Tensor:
        """Add `y` in its place, in place: windows on a large canvas copy nothing else."""
        for pieces in itertools.product(*self._runs(canvas.shape)):
            there, here = zip(*pieces, strict=True)
            canvas[(..., *there)] += y[(..., *here)]
        return canvas

    def _runs(self, shape: Sequence[int]) -> list[list[_Piece]]:
        """For each axis the runs of cells that make up the window, in its order."""
        lengths = shape[len(shape) - len(self.start) :]
        if len(lengths) < len(self.start):
            raise ShapeError("a window has more axes than the canvas", got=tuple(shape))
        axes = zip(self.start, self.size, self.wrap, lengths, strict=True)
        return [_runs_of_axis(*axis) for axis in axes]


@final
class Blend(View):
    """Mixes several canvases into one picture: `y = sum_k m_k x_k`.

    The canvas is `(B, K, C, *spatial)`, the observation `(B, C, *spatial)`.

    With masks of zeros and ones, a single one in each cell, it is a crop: a picture cut out of
    several.

    Args:
        masks: `m` of shape `(K, *spatial)`. Any real numbers; a layered picture has masks that
            sum to one in each cell.
    """

    def __init__(self, masks: Tensor) -> None:
        self.masks = masks
        self.crops = bool(((masks == 1).sum(0) == 1).all() & (masks.abs().sum(0) == 1).all())

    def observe(self, x: Tensor) -> Tensor:
        """`(B, K, C, *spatial)` to `(B, C, *spatial)`."""
        masks = self._masks(x)
        if x.dim() != masks.dim() + 1 or x.shape[1] != masks.shape[0]:
            raise ShapeError(
                "a Blend sees a stack of canvases",
                got=tuple(x.shape),
                expected=f"(B, {masks.shape[0]}, C, {', '.join(map(str, masks.shape[2:]))})",
            )
        return (masks * x).sum(1)

    def adjoint(self, y: Tensor, shape: Sequence[int]) -> Tensor:
        """`(B, C, *spatial)` to `(B, K, C, *spatial)`: each canvas gets `m_k y`."""
        return self._masks(y) * y.unsqueeze(1)

    def weight(self, shape: Sequence[int]) -> Tensor:
        """`m_k^2`, of shape `(K, 1, *spatial)`."""
        return self.masks.to("cpu", torch.float64).unsqueeze(1) ** 2

    def _masks(self, like: Tensor) -> Tensor:
        return self.masks.to(like).unsqueeze(1)


def cover(
    size: int | Sequence[int],
    window: int | Sequence[int],
    stride: int | Sequence[int],
    wrap: bool | Sequence[bool] = False,
) -> list[Window]:
    """Windows that together show every cell, in reading order.

    An axis that is not wrapped ends with a window aligned to its right end, wherever the strides
    led. A wrapped axis has a window at every stride all the way round. A window longer than the
    canvas is cut to it, and a stride longer than the window is cut to that.

    Args:
        size: Cells of the canvas on each trailing axis; a number means one axis.
        window: Cells of a window; a number is used for all axes.
        stride: Cells between the starts of two windows, likewise.
        wrap: Whether an axis closes to a ring, likewise.

    Raises:
        UsageError: A number is not positive, or the lengths differ.
    """
    sizes = (size,) if isinstance(size, int) else tuple(size)
    windows, strides = _for_each(window, len(sizes)), _for_each(stride, len(sizes))
    wraps = (wrap,) * len(sizes) if isinstance(wrap, bool) else tuple(wrap)
    lengths = {len(sizes), len(windows), len(strides), len(wraps)}
    if len(lengths) != 1 or min((*sizes, *windows, *strides), default=0) < 1:
        raise UsageError(
            "a cover needs a positive size, window and stride for each axis",
            got=f"size={sizes}, window={windows}, stride={strides}, wrap={wraps}",
        )
    windows = tuple(map(min, windows, sizes))
    starts = map(_starts, sizes, windows, strides, wraps)
    return [Window(corner, windows, wraps) for corner in itertools.product(*starts)]


def profile(kind: str, size: int | Sequence[int]) -> Tensor:
    """Weights over the cells of a view, in float64, positive everywhere, at most 1.

    On each axis with cells `i = 0..n-1`, multiplied over the axes:

    - `"mean"`: 1; the plain average of MultiDiffusion (Bar-Tal et al. 2023).
    - `"hann"`: `sin^2(pi (i + 1/2) / n)`; falls smoothly, with small values at the edge.
    - `"gaussian"`: `exp(-u^2 / 0.02)` with `u = (i - (n - 1) / 2) / n`, a normal density of
      standard deviation `n / 10`.

    Args:
        kind: The name, a `Profile`.
        size: Cells on each axis.

    Returns:
        Weights of shape `size`.

    Raises:
        UsageError: The name is unknown.
    """
    total = torch.ones((), dtype=torch.float64)
    for n in (size,) if isinstance(size, int) else size:
        cells = torch.arange(n, dtype=torch.float64)
        if kind == "mean":
            weights = torch.ones_like(cells)
        elif kind == "hann":
            weights = torch.sin(math.pi * (cells + 0.5) / n) ** 2
        elif kind == "gaussian":
            weights = torch.exp(-(((cells - (n - 1) / 2) / n) ** 2) / 0.02)
        else:
            raise UsageError("unknown profile", got=kind, expected="mean, hann or gaussian")
        total = total.unsqueeze(-1) * weights
    return total


def _runs_of_axis(start: int, size: int, wrap: bool, length: int) -> list[_Piece]:
    if not wrap:
        if start < 0 or start + size > length:
            raise ShapeError(
                "a window lies outside the canvas",
                got=f"cells {start} to {start + size}",
                expected=f"0 to {length}",
                remedy="move it inside, or wrap this axis",
            )
        return [(slice(start, start + size), slice(0, size))]
    runs: list[_Piece] = []
    done = 0
    while done < size:
        there = (start + done) % length
        count = min(length - there, size - done)
        runs.append((slice(there, there + count), slice(done, done + count)))
        done += count
    return runs


def _starts(size: int, window: int, stride: int, wrap: bool) -> list[int]:
    stride = min(stride, window)
    if wrap:
        return list(range(0, size, stride))
    last = size - window
    return [*range(0, last, stride), last]


def _for_each(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)
