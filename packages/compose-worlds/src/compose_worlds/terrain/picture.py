"""A region as a schematic map, and as a satellite would see it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_worlds.terrain.land import CLASSES, Land, Region, furrows, region
from compose_worlds.terrain.noise import cells, fractal, grid

SEASONS = ("spring", "summer", "autumn", "winter")
"""Names of the seasons, in the order of their numbers."""

DIRECTIONS: tuple[tuple[int, int], ...] = (
    (-1, 0),
    (-1, 1),
    (0, 1),
    (1, 1),
    (1, 0),
    (1, -1),
    (0, -1),
    (-1, -1),
)
"""Where the light may come from, as rows and columns: north, north-east, and on with the sun."""

FLAT: dict[str, tuple[float, float, float]] = {
    "water": (0.62, 0.78, 0.95),
    "sand": (0.97, 0.93, 0.78),
    "grass": (0.90, 0.94, 0.86),
    "field": (0.95, 0.91, 0.84),
    "forest": (0.70, 0.86, 0.66),
    "road": (1.0, 0.84, 0.45),
    "building": (0.72, 0.70, 0.72),
}
"""Colours of the map."""

PALETTES: dict[str, dict[str, tuple[float, float, float]]] = {
    "spring": {
        "water": (0.16, 0.36, 0.46),
        "sand": (0.78, 0.71, 0.55),
        "grass": (0.50, 0.68, 0.30),
        "field": (0.60, 0.58, 0.34),
        "forest": (0.33, 0.54, 0.24),
        "road": (0.52, 0.51, 0.50),
        "building": (0.72, 0.52, 0.44),
    },
    "summer": {
        "water": (0.10, 0.30, 0.48),
        "sand": (0.84, 0.76, 0.56),
        "grass": (0.42, 0.53, 0.22),
        "field": (0.79, 0.69, 0.35),
        "forest": (0.14, 0.36, 0.15),
        "road": (0.50, 0.49, 0.47),
        "building": (0.70, 0.50, 0.42),
    },
    "autumn": {
        "water": (0.17, 0.29, 0.36),
        "sand": (0.72, 0.64, 0.50),
        "grass": (0.58, 0.52, 0.27),
        "field": (0.52, 0.39, 0.25),
        "forest": (0.71, 0.38, 0.13),
        "road": (0.46, 0.45, 0.45),
        "building": (0.64, 0.46, 0.40),
    },
    "winter": {
        "water": (0.34, 0.45, 0.54),
        "sand": (0.78, 0.78, 0.79),
        "grass": (0.88, 0.90, 0.93),
        "field": (0.81, 0.83, 0.87),
        "forest": (0.47, 0.53, 0.54),
        "road": (0.58, 0.58, 0.60),
        "building": (0.75, 0.64, 0.62),
    },
}
"""Colours of the classes in the light, by season."""

TALL = ("forest", "building")
"""Classes that cast shadows."""

SHADOW = 0.45
"""What is left of the light in a shadow."""

REACH = 2
"""Length of shadows in pixels."""

_GRAIN = {"water": 0.03, "sand": 0.08, "grass": 0.12, "field": 0.10, "forest": 0.35, "road": 0.05}


@dataclass(frozen=True)
class Weather:
    """What holds everywhere in one picture.

    Attributes:
        season: A name of `SEASONS`.
        light: Number of the direction that the light comes from, see `DIRECTIONS`.
    """

    season: str
    light: int

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            UsageError: A name or number is unknown.
        """
        if self.season not in SEASONS or not 0 <= self.light < len(DIRECTIONS):
            raise UsageError(
                "no such weather",
                got=f"{self.season}, light {self.light}",
                expected=f"{', '.join(SEASONS)}; light 0 to {len(DIRECTIONS) - 1}",
            )


def palette(colors: dict[str, tuple[float, float, float]]) -> Tensor:
    """Colours (7, 3) in the order of the classes."""
    return torch.tensor([colors[name] for name in CLASSES])


def chart(seen: Region) -> Tensor:
    """The schematic map (3, H, W), float32 in [0, 1]."""
    return palette(FLAT)[seen.classes].permute(2, 0, 1).contiguous()


def satellite(seen: Region, weather: Weather) -> Tensor:
    """The picture (3, H, W), float32 in [0, 1]; a crop of it is the picture of the crop."""
    rows, columns = seen.size
    margin = REACH
    around = region(
        seen.land,
        seen.top - margin,
        seen.left - margin,
        (rows + 2 * margin, columns + 2 * margin),
    )
    color = palette(PALETTES[weather.season])[seen.classes]
    light = _slope(around, weather, margin) * _shade(around, weather, margin)
    light = light * _texture(seen, weather)
    return (color * light[..., None]).clamp(0, 1).permute(2, 0, 1).contiguous()


def _inner(field: Tensor, margin: int, dy: int = 0, dx: int = 0) -> Tensor:
    """The field without its margin, shifted."""
    rows, columns = field.shape[0] - 2 * margin, field.shape[1] - 2 * margin
    return field[margin + dy : margin + dy + rows, margin + dx : margin + dx + columns]


def _slope(around: Region, weather: Weather, margin: int) -> Tensor:
    """Brightness of the ground, which is lit where it faces the light; water is flat."""
    dy, dx = DIRECTIONS[weather.light]
    towards = _inner(around.height, margin, dy, dx)
    rise = _inner(around.height, margin, -dy, -dx) - towards
    length = 2.0 if dy and dx else 1.4142135
    dry = _inner(around.classes, margin) != CLASSES.index("water")
    return 1 + torch.where(dry, (rise * (5.0 / length)).clamp(-0.2, 0.2), 0.0)


def tall(classes: Tensor) -> Tensor:
    """Where something casts a shadow."""
    found = torch.zeros_like(classes, dtype=torch.bool)
    for name in TALL:
        found |= classes == CLASSES.index(name)
    return found


def _shade(around: Region, weather: Weather, margin: int) -> Tensor:
    """`SHADOW` where something tall stands between the place and the light, else 1."""
    dy, dx = DIRECTIONS[weather.light]
    high = tall(around.classes)
    dark = torch.zeros_like(_inner(high, margin))
    for step in range(1, REACH + 1):
        dark = dark | _inner(high, margin, step * dy, step * dx)
    dark = dark & ~_inner(high, margin)
    return torch.where(dark, SHADOW, 1.0)


def _texture(seen: Region, weather: Weather) -> Tensor:
    """Fine brightness, the same in every season, but for trees, which are lit from one side."""
    land: Land = seen.land
    y, x = grid(seen.top, seen.left, *seen.size)
    grain = cells(land.seed, 10, y, x) - 0.5
    broad = fractal(land.seed, 11, y, x, 7.0, 2) - 0.5
    amount = torch.tensor([_GRAIN.get(name, 0.04) for name in CLASSES])[seen.classes]
    light = 1 + amount * (grain + broad)
    dy, dx = DIRECTIONS[weather.light]
    crown = cells(land.seed, 12, y, x) - cells(land.seed, 12, y + dy, x + dx)
    light = light + torch.where(seen.classes == CLASSES.index("forest"), 0.2 * crown, 0.0)
    fields = 0.25 * (furrows(land, y, x) - 0.5)
    return light + torch.where(seen.classes == CLASSES.index("field"), fields, 0.0)
