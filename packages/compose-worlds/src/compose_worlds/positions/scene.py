"""Toys on a table: where they are, by number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_worlds.dice import Dice

NOWHERE = -1.0
"""Both coordinates of no position."""

RADIUS = 0.075
"""Of a toy of middle size, as a share of the picture."""

APART = 0.17
"""Least distance of two toys' centres: they never touch."""

MOST = 6
EDGE = 0.1
"""Least distance from a toy's centre to the picture's edge."""

COLORS: tuple[tuple[float, float, float], ...] = (
    (0.85, 0.13, 0.12),
    (0.12, 0.58, 0.20),
    (0.14, 0.28, 0.86),
    (0.92, 0.76, 0.10),
    (0.55, 0.18, 0.70),
    (0.10, 0.68, 0.72),
)
SHAPES = ("ball", "cube", "cylinder")
HELD_OUT = 10_000_000
"""Scenes from this number on are never trained on."""


@dataclass(frozen=True)
class Toys:
    """B scenes of up to K toys.

    Attributes:
        positions: (B, K, 2) centres as x, y; -1 where there is no toy.
        color: (B, K) numbers in `COLORS`.
        shape: (B, K) numbers in `SHAPES`.
        size: (B, K) radius as a share of the picture.
        table: (B,) brightness of the table.
    """

    positions: Tensor
    color: Tensor
    shape: Tensor
    size: Tensor
    table: Tensor


def places(
    dice: Dice, count: int, *, apart: float = APART, low: float = EDGE, high: float = 1 - EDGE
) -> list[tuple[float, float]]:
    """Positions that keep their distance; all start anew when one finds no room.

    Raises:
        UsageError: So many cannot keep such a distance in this square.
    """
    # Hexagonal packing bounds what fits: each takes apart^2 sqrt(3) / 2 of the grown square.
    room = (high - low + apart) ** 2 / (apart**2 * math.sqrt(3) / 2) if apart > 0 else math.inf
    if count < 1 or not low <= high or count > room:
        raise UsageError(
            "so many positions do not fit",
            got=f"{count} positions {apart:g} apart within {low:g} and {high:g}",
            remedy="fewer of them, closer together, or in a larger square",
        )
    for _ in range(2000):
        found: list[tuple[float, float]] = []
        for _ in range(60 * count):
            here = (dice.uniform(low, high), dice.uniform(low, high))
            if all(math.dist(here, other) >= apart for other in found):
                found.append(here)
            if len(found) == count:
                return found
    raise UsageError(
        "no positions found",
        got=f"{count} positions {apart:g} apart within {low:g} and {high:g}",
        remedy="fewer of them, or closer together",
    )


def draw(number: int) -> Toys:
    """Scene number ``number``: one to six toys; B is 1."""
    dice = Dice(number, 30)
    count = 1 + dice.below(MOST)
    found = places(dice, count)
    return Toys(
        positions=torch.tensor([found]),
        color=torch.tensor([[dice.below(len(COLORS)) for _ in found]]),
        shape=torch.tensor([[dice.below(len(SHAPES)) for _ in found]]),
        size=torch.tensor([[RADIUS * dice.uniform(0.9, 1.12) for _ in found]]),
        table=torch.tensor([dice.uniform(0.5, 0.72)]),
    )


def stack(scenes: Sequence[Toys], slots: int = MOST) -> Toys:
    """Many scenes as one, each with the same number of slots."""

    def joined(name: str, filler: float) -> Tensor:
        rows = [getattr(scene, name) for scene in scenes]
        full: list[Tensor] = []
        for row in rows:
            shape = (row.shape[0], slots - row.shape[1], *row.shape[2:])
            full.append(torch.cat([row, row.new_full(shape, filler)], 1))
        return torch.cat(full)

    return Toys(
        positions=joined("positions", NOWHERE),
        color=joined("color", 0),
        shape=joined("shape", 0),
        size=joined("size", RADIUS),
        table=torch.cat([scene.table for scene in scenes]),
    )
