"""What can be read from a satellite picture whose map is known: season, light, and its classes.

Plain arithmetic on colours, no network: it knows the palettes and where shadows may fall. It reads
any part of a picture, so parts can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import ShapeError
from compose_worlds.terrain.picture import (
    DIRECTIONS,
    PALETTES,
    REACH,
    SEASONS,
    SHADOW,
    palette,
    tall,
)


@dataclass(frozen=True)
class Reading:
    """What a picture shows.

    Attributes:
        season: The name that fits best.
        misfit: Root mean squared distance of the colours to that season's, in [0, 1].
        light: Number of the direction that the light seems to come from; None where nothing tall
            stands beside anything low.
        contrast: How much darker the places are that this light would shade than those beside tall
            things that it would not, as a share; about 0.5 in rendered pictures, 0 without
            shadows.
        fidelity: Share of pixels whose colour is that of their class on the map rather than of
            another class, in or out of the shadow.
    """

    season: str
    misfit: float
    light: int | None
    contrast: float
    fidelity: float


def read(picture: Tensor, classes: Tensor) -> Reading:
    """Read a picture.

    Args:
        picture: (3, H, W) float in [0, 1].
        classes: (H, W) what the map says.

    Raises:
        ShapeError: The two do not fit, or hold values that are no numbers.
    """
    if picture.shape != (3, *classes.shape) or not picture.is_floating_point():
        raise ShapeError(
            "picture and map do not fit",
            got=f"{picture.dtype} {tuple(picture.shape)} and {tuple(classes.shape)}",
            expected="float (3, H, W) and (H, W)",
        )
    if not bool(picture.isfinite().all()):
        raise ShapeError("the picture holds values that are no numbers", got="NaN or infinity")
    pixels = picture.permute(1, 2, 0).float()
    misfits = {name: _misfit(pixels, classes, name) for name in SEASONS}
    season = min(misfits, key=lambda name: misfits[name])
    light, contrast = _light(pixels, classes, season)
    return Reading(season, misfits[season], light, contrast, _fidelity(pixels, classes, season))


def _misfit(pixels: Tensor, classes: Tensor, season: str) -> float:
    wanted = palette(PALETTES[season])
    # The best brightness of each pixel is taken out: slopes, shadows and grain are no season.
    color = wanted[classes]
    gain = ((pixels * color).sum(-1) / (color * color).sum(-1)).clamp(SHADOW * 0.9, 1.25)
    return float((pixels - gain[..., None] * color).square().sum(-1).mean().sqrt())


def _shifted(mask: Tensor, dy: int, dx: int) -> Tensor:
    """``mask`` of the place (dy, dx) away, false beyond the edge."""
    rows, columns = mask.shape
    padded = torch.nn.functional.pad(mask, (REACH, REACH, REACH, REACH))
    return padded[REACH + dy : REACH + dy + rows, REACH + dx : REACH + dx + columns]


def _light(pixels: Tensor, classes: Tensor, season: str) -> tuple[int | None, float]:
    high = tall(classes)
    color = palette(PALETTES[season])[classes]
    bright = pixels.sum(-1) / color.sum(-1)
    near = [
        torch.stack([_shifted(high, s * dy, s * dx) for s in range(1, REACH + 1)]).any(0) & ~high
        for dy, dx in DIRECTIONS
    ]
    beside = torch.stack(near).any(0)
    if int(beside.sum()) < 4:
        return None, 0.0
    contrasts: list[float] = []
    for shaded in near:
        lit = beside & ~shaded
        if int(shaded.sum()) < 2 or int(lit.sum()) < 2:
            contrasts.append(0.0)
            continue
        contrasts.append(float(1 - bright[shaded].mean() / bright[lit].mean().clamp_min(1e-3)))
    best = max(range(len(contrasts)), key=lambda i: contrasts[i])
    return best, contrasts[best]


def _fidelity(pixels: Tensor, classes: Tensor, season: str) -> float:
    wanted = palette(PALETTES[season])
    both = torch.stack([wanted, SHADOW * wanted])
    distance = (pixels[:, :, None, None] - both).square().sum(-1).amin(2)
    return float((distance.argmin(-1) == classes).float().mean())
