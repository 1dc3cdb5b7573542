r"""DiffCollage under the same graph: views minus their overlaps (`merge="factor"`).

A chain of windows, each of which only knows its neighbours through what they share, has the
density :math:`\prod_i p(y_i) / \prod_i p(y_i \cap y_{i+1})`, so that its score is the sum over
windows minus the sum over overlaps (Zhang et al. 2023, arXiv 2303.17076, Eq. 5). On a grid the
counting numbers of both axes multiply (Kikuchi's): corners of four windows come back once. In
every cell the numbers add up to one, and so the rule holds for `x0` as for the noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from compose_cgi.graph import Graph, Observation
from compose_core.compose import Composer
from compose_core.denoiser import Denoiser
from compose_core.errors import UsageError
from compose_core.prediction import Prediction
from compose_core.schedule import Level
from compose_core.views import Window

__all__ = ["Collage", "Region", "regions"]


class Region(NamedTuple):
    """A window or an overlap.

    Attributes:
        view: Where it is.
        times: How often it counts; negative for overlaps.
        owner: The number of the first observation that shows it.
    """

    view: Window
    times: int
    owner: int


@final
class Collage(Composer):
    """The sum over windows minus the sum over overlaps.

    Args:
        graph: One canvas and a grid of windows over it.
        overlap: The model of every overlap; by default that of the first window that shows it.

    Raises:
        UsageError: The views are no grid of windows; see `regions`.
    """

    def __init__(self, graph: Graph, overlap: Denoiser | None = None) -> None:
        self.regions = regions(graph)
        views = graph.observations
        super().__init__(
            views[one.owner].denoiser if one.times > 0 or overlap is None else overlap
            for one in self.regions
        )

    def inputs(self, x_t: Tensor) -> Sequence[Tensor]:
        """What every region shows."""
        return [one.view.observe(x_t) for one in self.regions]

    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: Any
    ) -> Prediction:
        """The signed sum."""
        total = torch.zeros_like(x_t)
        for one, prediction in zip(self.regions, predictions, strict=True):
            total = one.view.accumulate(total, one.times * prediction.x0, x_t.shape[2:])
        return Prediction(x_t, level, total)


def regions(graph: Graph) -> tuple[Region, ...]:
    """The windows of a graph and their overlaps, with counting numbers that add up to 1.

    Raises:
        UsageError: A view is no window, or the windows are no grid.
    """
    views = [_window(each) for each in graph.observations]
    if len(graph.variables) != 1:
        raise UsageError(
            "views minus overlaps needs one canvas", got=f"{len(graph.variables)} canvases"
        )
    shape = graph.spatial
    axes = [
        sorted({(view.start[a], view.size[a], view.wrap[a]) for view in views})
        for a in range(len(shape))
    ]
    numbers = {view: i for i, view in enumerate(views)}
    pieces = [_pieces(axis, size) for axis, size in zip(axes, shape, strict=True)]
    found: list[Region] = []
    for parts in itertools.product(*pieces):
        windows = [axes[a][part.owner] for a, part in enumerate(parts)]
        owner = numbers.get(Window(*(tuple(column) for column in zip(*windows, strict=True))))
        if owner is None or len(numbers) != len(views):
            raise UsageError(
                "views minus overlaps needs a grid of windows",
                got=f"{len(views)} windows",
                expected="every row of windows at the same columns, each once",
                remedy='make them with compose_core.views.cover, or use merge="average"',
            )
        view = Window(
            tuple(part.start for part in parts),
            tuple(part.size for part in parts),
            tuple(wrap for _, _, wrap in windows),
        )
        times = math.prod(part.times for part in parts)
        found.append(Region(view, times, owner))
    return tuple(found)


class _Piece(NamedTuple):
    start: int
    size: int
    times: int
    owner: int


def _pieces(axis: list[tuple[int, int, bool]], length: int) -> list[_Piece]:
    """The intervals of one axis, and what each shares with the next."""
    found = [_Piece(start, size, 1, i) for i, (start, size, _) in enumerate(axis)]
    if len(axis) == 1:
        return found
    closed = axis[0][2]
    after = [*axis[1:], (axis[0][0] + length, *axis[0][1:])] if closed else axis[1:]
    for i, ((start, size, _), (begin, _, _)) in enumerate(zip(axis, after, strict=False)):
        if start + size > begin:
            found.append(_Piece(begin, start + size - begin, -1, i))
    shown = torch.zeros(length, dtype=torch.long)
    for piece in found:
        shown.index_add_(
            0,
            torch.arange(piece.start, piece.start + piece.size) % length,
            torch.full((piece.size,), piece.times),
        )
    if not bool((shown == 1).all()):
        raise UsageError(
            "these windows are no chain",
            got=f"{len(axis)} windows on a {'ring' if closed else 'line'} of {length} cells",
            expected="windows that follow one another, none inside another",
            remedy="make them with compose_core.views.cover",
        )
    return found


def _window(each: Observation) -> Window:
    if not isinstance(each.view, Window):
        raise UsageError(
            "views minus overlaps needs windows",
            got=f"{each.name!r}: {type(each.view).__name__}",
            remedy='use merge="average"',
        )
    return each.view
