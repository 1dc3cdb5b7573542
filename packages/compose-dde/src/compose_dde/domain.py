"""Domains: how a large object is taken apart into what a pretrained model knows.

Section 3.1 of the paper, the decomposition `F(X, Y) = ([x_1, ..., x_L], [y_1, ..., y_L])`. A chain
of windows covers a long sound, a grid a large picture, ring and torus close them, a condition set
shows one object as often as there are conditions, and a graph is whatever is left.

A domain knows its views, where each token of a view lies in the large object, and which windows
are neighbours: what a coordinator has to know about it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_core.views import View, Whole, Window, cover

__all__ = ["Domain", "Neighbour", "span"]


@dataclass(frozen=True)
class Neighbour:
    """A window as another one sees it.

    Attributes:
        index: Which window.
        hops: How many edges away; infinite where none lead to it.
        shift: Cells to add to its positions on each axis; not zero where the way to it crosses
            the seam of a closed axis. Of ways with equally many edges it is the shortest.
    """

    index: int
    hops: float
    shift: tuple[int, ...]


@final
@dataclass(frozen=True)
class Domain:
    """A large object and its parts.

    Made by `chain`, `ring`, `grid`, `torus`, `conditions` or `graph`.

    Attributes:
        size: Cells of the large object on each spatial axis.
        window: Cells of a part on each.
        starts: The first cell of each part on each axis.
        wrap: Which axes are closed.
        edges: Ordered pairs of parts that are neighbours, each way, with the shift of the second
            as the first sees it (see `Neighbour`).
    """

    size: tuple[int, ...]
    window: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]
    wrap: tuple[bool, ...]
    edges: tuple[tuple[int, int, tuple[int, ...]], ...]

    @classmethod
    def chain(cls, size: int, window: int, stride: int) -> Domain:
        """Windows along one open axis; the last one is aligned to the end.

        Args:
            size: Cells of the large object.
            window: Cells of a window.
            stride: Cells between the starts of two windows.

        Raises:
            UsageError: A window is longer than the object, or strides leave gaps.
        """
        return cls._boxes((size,), (window,), (stride,), (False,))

    @classmethod
    def ring(cls, size: int, window: int, stride: int) -> Domain:
        """Windows along one closed axis: the last cell is beside the first; see `chain`."""
        return cls._boxes((size,), (window,), (stride,), (True,))

    @classmethod
    def grid(
        cls,
        size: Sequence[int],
        window: int | Sequence[int],
        stride: int | Sequence[int],
        wrap: bool | Sequence[bool] = False,
    ) -> Domain:
        """Windows on several axes, in reading order; see `chain`."""
        sizes = tuple(size)
        windows = (window,) * len(sizes) if isinstance(window, int) else tuple(window)
        strides = (stride,) * len(sizes) if isinstance(stride, int) else tuple(stride)
        wraps = (wrap,) * len(sizes) if isinstance(wrap, bool) else tuple(wrap)
        _require_axes(sizes, windows, strides, wraps)
        return cls._boxes(sizes, windows, strides, wraps)

    @classmethod
    def torus(
        cls, size: Sequence[int], window: int | Sequence[int], stride: int | Sequence[int]
    ) -> Domain:
        """A grid whose axes are all closed."""
        return cls.grid(size, window, stride, True)

    @classmethod
    def conditions(cls, size: Sequence[int], count: int) -> Domain:
        """One object seen `count` times, once under each condition.

        Raises:
            UsageError: There are none.
        """
        if count < 1:
            raise UsageError("a condition set is empty", got=count, expected="1 or more")
        axes = tuple(size)
        origin = (0,) * len(axes)
        pairs = itertools.permutations(range(count), 2)
        edges = tuple((i, j, origin) for i, j in pairs)
        return cls(axes, axes, (origin,) * count, (False,) * len(axes), edges)

    @classmethod
    def graph(
        cls,
        size: Sequence[int],
        window: Sequence[int],
        starts: Iterable[Sequence[int]],
        edges: Iterable[tuple[int, int]] | None = None,
    ) -> Domain:
        """Windows anywhere.

        Args:
            size: Cells of the large object on each axis.
            window: Cells of a window.
            starts: The first cell of each window. They must cover the object.
            edges: Pairs of neighbours; by default those that share cells or touch, at
                corners too.

        Raises:
            UsageError: Windows leave the object or cells of it uncovered; an edge has no end.
        """
        sizes, windows = tuple(size), tuple(window)
        places = tuple(tuple(start) for start in starts)
        _require_axes(sizes, windows, *places)
        origin = (0,) * len(sizes)
        pairs = _touching(places, windows) if edges is None else list(edges)
        if any(not 0 <= end < len(places) for pair in pairs for end in pair):
            raise UsageError("an edge has no window at its end", got=pairs, expected=len(places))
        both = dict.fromkeys([*pairs, *((j, i) for i, j in pairs)])
        made = cls(
            sizes,
            windows,
            places,
            (False,) * len(sizes),
            tuple((i, j, origin) for i, j in both if i != j),
        )
        made._require_cover()
        return made

    @classmethod
    def _boxes(
        cls,
        size: tuple[int, ...],
        window: tuple[int, ...],
        stride: tuple[int, ...],
        wrap: tuple[bool, ...],
    ) -> Domain:
        for axis, (cells, width, step) in enumerate(zip(size, window, stride, strict=True)):
            if width > cells:
                raise UsageError(
                    "a window is larger than the object",
                    got=f"{width} cells of {cells} on axis {axis}",
                    remedy="make the object larger, or ask the model about it alone",
                )
            if step > width:
                raise UsageError(
                    "strides leave gaps between the windows",
                    got=f"stride {step} with windows of {width} on axis {axis}",
                    expected=f"at most {width}",
                )
        windows = cover(size, window, stride, wrap)
        starts = tuple(one.start for one in windows)
        return cls(size, window, starts, wrap, tuple(_edges(starts, size, wrap)))

    def __len__(self) -> int:
        """How many parts there are: L."""
        return len(self.starts)

    @property
    def axes(self) -> int:
        """Spatial axes."""
        return len(self.size)

    @cached_property
    def views(self) -> tuple[View, ...]:
        """How each part sees the large object."""
        if self.window == self.size and not any(self.wrap):
            return (Whole(),) * len(self)
        return tuple(Window(start, self.window, self.wrap) for start in self.starts)

    def coverage(self) -> Tensor:
        """How many parts show each cell, of shape `size`, in float64."""
        total = torch.zeros(self.size, dtype=torch.float64)
        for view in self.views:
            total = total + view.weight(self.size)
        return total

    def overlaps(self) -> dict[tuple[int, int], int]:
        """Pairs of parts `i < j` that share cells, and how many."""
        weights = [view.weight(self.size) > 0 for view in self.views]
        pairs = itertools.combinations(range(len(self)), 2)
        found = {(i, j): int((weights[i] & weights[j]).sum()) for i, j in pairs}
        return {pair: cells for pair, cells in found.items() if cells}

    def positions(self, patch: int) -> Tensor:
        """Where each token of each part lies in the large object.

        A token is a patch of `patch` cells on each axis; positions are counted in patches, so that
        two tokens that show the same cells have the same position.

        Args:
            patch: Cells of a token on each axis.

        Returns:
            `(L, T, axes)` in float64, tokens in reading order.

        Raises:
            ShapeError: A window is no whole number of tokens.
        """
        counts = [width // patch for width in self.window]
        if any(width % patch for width in self.window):
            raise ShapeError(
                "a window is no whole number of tokens",
                got=f"{self.window} cells",
                expected=f"multiples of {patch}",
            )
        steps = [torch.arange(count, dtype=torch.float64) for count in counts]
        inside = torch.cartesian_prod(*steps).reshape(-1, self.axes)
        origin = torch.tensor(self.starts, dtype=torch.float64) / patch
        return origin[:, None] + inside

    def neighbours(self) -> tuple[tuple[Neighbour, ...], ...]:
        """For each part all parts, itself first, nearest first; those out of reach come last."""
        steps: dict[int, list[tuple[int, tuple[int, ...]]]] = {i: [] for i in range(len(self))}
        for i, j, shift in self.edges:
            steps[i].append((j, shift))
        return tuple(_reached(i, steps, self.starts) for i in range(len(self)))

    def _require_cover(self) -> None:
        for start in self.starts:
            ends = zip(start, self.window, self.size, strict=True)
            if any(first < 0 or first + width > cells for first, width, cells in ends):
                raise UsageError(
                    "a window leaves the object",
                    got=f"{self.window} cells from {start}",
                    expected=f"inside {self.size}",
                )
        bare = int((self.coverage() <= 0).sum())
        if bare:
            raise UsageError(
                "the windows leave cells of the object uncovered",
                got=f"{bare} of {torch.Size(self.size).numel()} cells",
                remedy="add windows, or make a chain or a grid, which cover by themselves",
            )


def span(windows: int, window: int, stride: int) -> int:
    """Cells of the chain that `windows` of them cover: `window + (windows - 1) stride`."""
    return window + (windows - 1) * stride


def _require_axes(*each: Sequence[object]) -> None:
    """Everything about axes says as much as there are."""
    if len({len(one) for one in each}) > 1:
        raise UsageError(
            "the axes of size, windows and places do not agree",
            got=", ".join(str(tuple(one)) for one in each[:4]),
            expected=f"{len(each[0])} numbers in each",
        )


def _edges(
    starts: Sequence[tuple[int, ...]], size: tuple[int, ...], wrap: tuple[bool, ...]
) -> Iterable[tuple[int, int, tuple[int, ...]]]:
    """Windows one step apart on any of the axes, diagonals too."""
    columns = [sorted({start[axis] for start in starts}) for axis in range(len(size))]
    number = {start: n for n, start in enumerate(starts)}
    for start, i in number.items():
        around = [
            _beside(column, place, cells, closed)
            for column, place, cells, closed in zip(columns, start, size, wrap, strict=True)
        ]
        for move in itertools.product(*around):
            j = number[tuple(place for place, _ in move)]
            if j != i:
                yield i, j, tuple(shift for _, shift in move)


def _beside(column: list[int], place: int, cells: int, closed: bool) -> list[tuple[int, int]]:
    """A place on an axis and those next to it, each with its shift the short way."""
    at = column.index(place)
    shifts = {place: 0}
    for step in (at - 1, at + 1):
        turns, inside = divmod(step, len(column))
        other, shift = column[inside], turns * cells
        if turns and not closed:
            continue
        # Of two places in a ring each is on both sides of the other.
        if other not in shifts or abs(other + shift - place) < abs(other + shifts[other] - place):
            shifts[other] = shift
    return list(shifts.items())


def _reached(
    origin: int,
    steps: dict[int, list[tuple[int, tuple[int, ...]]]],
    starts: Sequence[tuple[int, ...]],
) -> tuple[Neighbour, ...]:
    def way(j: int, shift: tuple[int, ...]) -> tuple[int, list[int]]:
        """How far it is, and where to: of two ways round, all windows take the same side."""
        axes = zip(starts[j], shift, starts[origin], strict=True)
        moved = [there + by - here for there, by, here in axes]
        return sum(map(abs, moved)), moved

    nowhere = (0,) * len(starts[origin])
    found = {origin: Neighbour(origin, 0, nowhere)}
    front = [origin]
    while front:
        after: dict[int, Neighbour] = {}
        for i in front:
            here = found[i]
            for j, shift in steps[i]:
                if j in found:
                    continue
                total = tuple(a + b for a, b in zip(here.shift, shift, strict=True))
                known = after.get(j)
                nearer = known and known.shift != total and way(j, total) < way(j, known.shift)
                if known is None or nearer:
                    after[j] = Neighbour(j, here.hops + 1, total)
        found |= after
        front = list(after)
    others = (j for j in range(len(starts)) if j not in found)
    return (*found.values(), *(Neighbour(j, math.inf, nowhere) for j in others))


def _touching(starts: Sequence[tuple[int, ...]], window: tuple[int, ...]) -> list[tuple[int, int]]:
    def meet(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        return all(abs(x - y) <= width for x, y, width in zip(a, b, window, strict=True))

    pairs = itertools.combinations(range(len(starts)), 2)
    return [(i, j) for i, j in pairs if meet(starts[i], starts[j])]
