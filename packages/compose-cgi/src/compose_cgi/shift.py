"""Windows that are somewhere else at every step, so that no seam has a place of its own.

Windows side by side, each cell asked about once per step, and the whole grid moved between steps:
the idea of SpotDiffusion (Frolov et al. 2024, arXiv 2407.15507). On an axis that is not closed the
windows at the ends stay inside the canvas and overlap their neighbours there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from compose_core.errors import UsageError
from compose_core.views import Window

__all__ = ["Shift", "tiles"]


@final
@dataclass(frozen=True)
class Shift:
    """Where each window is at each step.

    The same for all samples of a batch, so that none depends on the others.

    Attributes:
        size: Cells of the canvas on each axis.
        window: Cells of a window.
        wrap: Whether an axis is closed.
        seed: Of the offsets.
    """

    size: tuple[int, ...]
    window: tuple[int, ...]
    wrap: tuple[bool, ...]
    seed: int = 0

    def at(self, index: int) -> tuple[Window, ...]:
        """The windows of step `index`."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        offsets = [
            int(torch.randint(window, (), generator=generator)) if window < size or wrap else 0
            for size, window, wrap in zip(self.size, self.window, self.wrap, strict=True)
        ]
        return self._placed(offsets)

    def _placed(self, offsets: Sequence[int]) -> tuple[Window, ...]:
        axes = zip(self.size, self.window, self.wrap, offsets, strict=True)
        starts = [_starts(*axis) for axis in axes]
        return tuple(Window(at, self.window, self.wrap) for at in itertools.product(*starts))

    def check(self, views: Sequence[object], spatial: tuple[int, ...]) -> None:
        """Refuse a graph that these windows are not for.

        Raises:
            UsageError: It has other views, or more canvases than one.
        """
        if spatial != self.size or tuple(views) != self._placed([0] * len(self.size)):
            raise UsageError(
                "these shifts belong to another graph",
                got=f"{len(views)} observations of a sheet {spatial}",
                expected=f"one canvas {self.size} under the windows of compose_cgi.shift.tiles",
            )


def tiles(
    size: Sequence[int], window: Sequence[int], wrap: Sequence[bool], seed: int = 0
) -> tuple[tuple[Window, ...], Shift]:
    """Windows side by side, in reading order, and how they move.

    Args:
        size: Cells of the canvas on each axis.
        window: Cells of a window; cut to the canvas.
        wrap: Whether an axis is closed.
        seed: Of the offsets.

    Raises:
        UsageError: The lengths differ, or a number is not positive.
    """
    if not len(size) == len(window) == len(wrap) or min((*size, *window), default=0) < 1:
        raise UsageError(
            "tiles need a positive size and window, and a wrap, for each axis",
            got=f"size={tuple(size)}, window={tuple(window)}, wrap={tuple(wrap)}",
        )
    cut = tuple(map(min, window, size))
    shift = Shift(tuple(size), cut, tuple(wrap), seed)
    return shift._placed([0] * len(size)), shift  # pyright: ignore[reportPrivateUsage]


def _starts(size: int, window: int, wrap: bool, offset: int) -> list[int]:
    """One window more than fit on an open axis, which the offset brings in from the right."""
    count = math.ceil(size / window)
    if wrap:
        return [k * window - offset for k in range(count)]
    last = size - window
    return [min(max(k * window - offset, 0), last) for k in range(count + (last > 0))]
