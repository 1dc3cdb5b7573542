"""What is where: the classes of an endless land, and its heights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_worlds.terrain.noise import cells, fractal, grid, smooth

CLASSES = ("water", "sand", "grass", "field", "forest", "road", "building")
"""Names of the classes, in the order of their numbers."""

SEA, SHORE = 0.40, 0.43
"""Heights up to which there is water, and sand."""

_ROAD = 0.9
"""Half the width of a road in pixels."""
_BLOCK = 6
"""Pixels from one building to the next."""
_FIELD = 10


@dataclass(frozen=True)
class Land:
    """An endless land.

    Attributes:
        seed: Which one.
        scale: Pixels of its largest hills.
    """

    seed: int
    scale: float = 40.0

    def __post_init__(self) -> None:
        """Check the scale.

        Raises:
            UsageError: It is too small to hold anything.
        """
        if not 8 <= self.scale <= 4096:
            raise UsageError("no scale of a land", got=self.scale, expected="8 to 4096 pixels")


@dataclass(frozen=True)
class Region:
    """A crop of a land.

    Attributes:
        top, left: Its first row and column; any whole numbers.
        classes: (H, W) int64, numbers in `CLASSES`.
        height: (H, W) float32 in [0, 1].
        land: Where it was cut.
    """

    top: int
    left: int
    classes: Tensor
    height: Tensor
    land: Land

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.classes.shape[0], self.classes.shape[1]


def region(land: Land, top: int, left: int, size: tuple[int, int]) -> Region:
    """Cut a region; a part of it is the same as that part cut by itself.

    Args:
        land: The land.
        top: First row.
        left: First column.
        size: Rows and columns.

    Raises:
        UsageError: The size is not positive.
    """
    if min(size) < 1:
        raise UsageError("a region has no extent", got=size, expected="1 x 1 or more")
    y, x = grid(top, left, *size)
    height = fractal(land.seed, 1, y, x, land.scale, 4)
    found = torch.full(size, CLASSES.index("grass"))
    wet = fractal(land.seed, 2, y, x, 0.8 * land.scale, 3)
    farmed = smooth(land.seed, 3, y, x, 1.2 * land.scale) > 0.55
    found[farmed] = CLASSES.index("field")
    found[wet > 0.56] = CLASSES.index("forest")
    town = smooth(land.seed, 4, y, x, land.scale)
    found[_buildings(land, y, x) & (town > 0.55)] = CLASSES.index("building")
    found[_roads(land, y, x)] = CLASSES.index("road")
    found[height < SHORE] = CLASSES.index("sand")
    found[height < SEA] = CLASSES.index("water")
    return Region(top, left, found, height, land)


def _roads(land: Land, y: Tensor, x: Tensor) -> Tensor:
    """Level lines of a smooth field: long, winding, never ending at a crop's edge."""
    scale = 1.3 * land.scale

    def field(dy: int, dx: int) -> Tensor:
        return smooth(land.seed, 5, y + dy, x + dx, scale)

    here = field(0, 0) - 0.5
    down, right = field(1, 0) - field(-1, 0), field(0, 1) - field(0, -1)
    slope = (down * down + right * right) / 4
    return here * here < _ROAD * _ROAD * slope.clamp_max(0.01)


def _buildings(land: Land, y: Tensor, x: Tensor) -> Tensor:
    """Rectangles in some of the cells of a lattice."""
    row, column = y.div(_BLOCK, rounding_mode="floor"), x.div(_BLOCK, rounding_mode="floor")
    v, u = y - row * _BLOCK, x - column * _BLOCK
    built = cells(land.seed, 6, row, column) < 0.7
    tall = 3 + (cells(land.seed, 7, row, column) < 0.5).long()
    wide = 3 + (cells(land.seed, 8, row, column) < 0.5).long()
    return built & (v >= 1) & (v < 1 + tall) & (u >= 1) & (u < 1 + wide)


def furrows(land: Land, y: Tensor, x: Tensor) -> Tensor:
    """Brightness of the fields, patch by patch, in [0, 1)."""
    row, column = y.div(_FIELD, rounding_mode="floor"), x.div(_FIELD, rounding_mode="floor")
    return cells(land.seed, 9, row, column)
