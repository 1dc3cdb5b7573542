"""Places the solids stand in: ground, wall and sky, and the light there.

Colours are display-referred RGB in [0, 1]; positions are metres. All functions take flat lists
of points or rays, so that they run once per environment over a whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

RGB = tuple[float, float, float]
Ground = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One place.

    Attributes:
        phrase: how captions speak of it, "on grass".
        ground: (x, z, phase) -> (N, 3) colour of the ground.
        horizon, zenith: colours of the sky; a wall takes `horizon`.
        sun, ambient, bounce: light of the sun, of the sky and from the ground.
        wall: distance of a back wall in metres, inf for open air.
        haze: distance in metres at which the air has taken 63 % of a colour (the exponent grows
            with the square of the distance).
    """

    phrase: str
    ground: Ground
    horizon: RGB
    zenith: RGB
    sun: RGB
    ambient: RGB
    bounce: RGB
    wall: float = math.inf
    haze: float = 20.0


def _mix(weight: Tensor, low: RGB, high: RGB) -> Tensor:
    a, b = weight.new_tensor(low), weight.new_tensor(high)
    return a + (b - a) * weight[:, None]


def _grass(x: Tensor, z: Tensor, phase: Tensor) -> Tensor:
    mown = 0.5 + 0.5 * torch.tanh(4 * torch.sin(1.6 * (x + phase)))
    tufts = torch.sin(5.1 * x + 2.3 * torch.sin(1.7 * z)) * torch.sin(4.3 * z + phase)
    return _mix(0.65 * mown + 0.35 * (0.5 + 0.5 * tufts), (0.30, 0.56, 0.20), (0.45, 0.70, 0.27))


def _sand(x: Tensor, z: Tensor, phase: Tensor) -> Tensor:
    ripple = torch.sin(5.0 * z + 1.2 * torch.sin(1.1 * x + phase) + 0.6 * x)
    return _mix(0.5 + 0.5 * ripple, (0.86, 0.69, 0.44), (0.96, 0.82, 0.58))


def _snow(x: Tensor, z: Tensor, phase: Tensor) -> Tensor:
    drift = torch.sin(1.3 * x + 0.7 * torch.sin(1.9 * z) + phase) * torch.sin(1.7 * z - phase)
    return _mix(0.5 + 0.5 * drift, (0.66, 0.76, 0.90), (0.80, 0.88, 0.98))


def _planks(x: Tensor, z: Tensor, phase: Tensor) -> Tensor:
    across = (x + phase) / 0.55
    plank = across.floor()
    tone = (torch.sin(plank * 12.9898 + 4.1) * 43758.5453).frac().abs()
    seam = ((across - plank - 0.5).abs() * 2).clamp(0.86, 1.0).sub(0.86) / 0.14
    wood = _mix(tone, (0.47, 0.30, 0.18), (0.62, 0.42, 0.27))
    return wood * (1 - 0.45 * seam[:, None])


def _tiles(x: Tensor, z: Tensor, phase: Tensor) -> Tensor:
    waves = torch.tanh(6 * torch.sin(2.4 * (x + phase)) * torch.sin(2.4 * z))
    return _mix(0.5 + 0.5 * waves, (0.33, 0.29, 0.47), (0.46, 0.40, 0.60))


ENVIRONMENTS: dict[str, Environment] = {
    "grass": Environment(
        phrase="on grass",
        ground=_grass,
        horizon=(0.83, 0.92, 0.98),
        zenith=(0.36, 0.60, 0.92),
        sun=(0.92, 0.88, 0.81),
        ambient=(0.41, 0.45, 0.51),
        bounce=(0.14, 0.20, 0.10),
    ),
    "sand": Environment(
        phrase="on sand",
        ground=_sand,
        horizon=(1.00, 0.86, 0.66),
        zenith=(0.93, 0.62, 0.42),
        sun=(0.94, 0.86, 0.76),
        ambient=(0.47, 0.45, 0.44),
        bounce=(0.22, 0.17, 0.10),
        haze=17.0,
    ),
    "snow": Environment(
        phrase="on snow",
        ground=_snow,
        horizon=(0.86, 0.90, 0.94),
        zenith=(0.58, 0.70, 0.84),
        sun=(0.85, 0.84, 0.81),
        ambient=(0.39, 0.43, 0.49),
        bounce=(0.14, 0.17, 0.20),
        haze=18.0,
    ),
    "room": Environment(
        phrase="in a room",
        ground=_planks,
        horizon=(0.80, 0.76, 0.70),
        zenith=(0.72, 0.68, 0.63),
        sun=(0.90, 0.87, 0.82),
        ambient=(0.53, 0.52, 0.51),
        bounce=(0.16, 0.12, 0.08),
        wall=9.0,
        haze=40.0,
    ),
    "dusk": Environment(
        phrase="at dusk",
        ground=_tiles,
        horizon=(0.98, 0.62, 0.52),
        zenith=(0.26, 0.22, 0.48),
        sun=(0.96, 0.83, 0.74),
        ambient=(0.47, 0.45, 0.51),
        bounce=(0.12, 0.10, 0.16),
        haze=17.0,
    ),
}
"""The places by name; a place's position here is its number in `World.environment`."""


def sky(place: Environment, up: Tensor) -> Tensor:
    """Colour of the sky: (N,) sine of the elevation -> (N, 3)."""
    return _mix((up.clamp(0, 0.5) / 0.5) ** 0.7, place.horizon, place.zenith)


def surface(place: Environment, point: Tensor, on_wall: Tensor, phase: Tensor) -> Tensor:
    """Colour of ground and wall: points (N, 3), (N,) bool, (N,) -> (N, 3) albedo."""
    ground = place.ground(point[:, 0], point[:, 2], phase)
    # Detail smaller than a pixel would alias: far away the ground takes its mean colour.
    near = torch.exp(-((point[:, 2] / 9.0) ** 2))[:, None]
    mean = ground.new_tensor(_mean(place.ground))
    wall = _mix((point[:, 1] / 4).clamp(0, 1), place.horizon, place.zenith)
    return torch.where(on_wall[:, None], wall, mean + (ground - mean) * near)


@cache
def _mean(ground: Ground) -> RGB:
    """Mean colour of a ground texture over 12 x 12 metres."""
    grid = torch.linspace(-6, 6, 61)
    x, z = (a.flatten() for a in torch.meshgrid(grid, grid, indexing="ij"))
    r, g, b = ground(x, z, torch.zeros_like(x)).mean(0).tolist()
    return r, g, b
