"""Pairs of maps and pictures by number."""

from __future__ import annotations

from compose_worlds.dice import Dice
from compose_worlds.terrain.land import Land, Region, region
from compose_worlds.terrain.picture import DIRECTIONS, SEASONS, Weather

HELD_OUT = 10_000_000
"""Pairs from this number on are never trained on."""

LANDS = 64
"""Each number shows a place of one of so many lands; held out ones lie in other lands."""


def draw(number: int, size: tuple[int, int]) -> tuple[Region, Weather]:
    """Pair number ``number``: a place anywhere, a season and a light.

    Places with nothing but water are passed over.
    """
    dice = Dice(number, 20)
    land = Land(seed=number % LANDS + (LANDS if number >= HELD_OUT else 0))
    weather = Weather(dice.choice(SEASONS), dice.below(len(DIRECTIONS)))
    while True:
        top, left = dice.below(1 << 20), dice.below(1 << 20)
        seen = region(land, top, left, size)
        if float((seen.classes > 1).float().mean()) > 0.4:
            return seen, weather
