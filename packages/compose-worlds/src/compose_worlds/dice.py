"""Draws of single numbers from one explicit generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, final

import torch

T = TypeVar("T")


@final
class Dice:
    """Scalar draws, all from the generator of one seed.

    Args:
        seed: The same seed gives the same draws; any whole numbers, joined into one.
    """

    def __init__(self, *seed: int) -> None:
        self.generator = torch.Generator().manual_seed(joined(*seed))

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def below(self, count: int) -> int:
        """A whole number from 0 to ``count - 1``."""
        return int(torch.randint(count, (), generator=self.generator))

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, all alike."""
        return options[self.below(len(options))]

    def happens(self, probability: float) -> bool:
        """Whether something of this probability happens."""
        return self.uniform(0, 1) < probability


def joined(*numbers: int) -> int:
    """One 63-bit seed of several whole numbers: a chain of multiplications and shifts (FNV-like).

    Neighbouring numbers give unrelated seeds, and the order counts.
    """
    state = 0xCBF29CE484222325
    for number in numbers:
        state = (state ^ (number & 0xFFFFFFFFFFFFFFFF)) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 29
    return state >> 1
