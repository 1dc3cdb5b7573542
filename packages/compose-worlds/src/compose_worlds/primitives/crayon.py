"""Crayon drawings of scenes: another style for the same worlds, pixel for pixel in place.

A region (an object, the ground, the wall, the sky) is filled with one colour in slanting strokes
that leave the white paper's grain free, and its outline is drawn in a dark shade of that colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from compose_core.errors import ShapeError
from compose_worlds.primitives.world import SEMANTICS

PAPER = (0.98, 0.97, 0.94)
"""RGB of the paper."""
FILLED: dict[str, float] = {"sky": 0.3, "ground": 0.45, "wall": 0.3}
"""Share of the paper that strokes cover, by class; objects have `OBJECTS`."""
OBJECTS = 0.96
_PLACES = len(FILLED)
_LUMA = (0.299, 0.587, 0.114)
_SHADE, _VIVID = 0.35, 1.35
_STROKE, _WAVE, _GRAIN = 7.0, 0.3, 0.15
"""From one stroke to the next, in pixels of a picture of 64; how much strokes and the paper's
grain are seen."""
_TREMBLE = 0.5
"""How far the hand strays, in pixels of a picture of 64."""
_CREASE = math.cos(math.radians(30))


def crayon(
    pictures: Tensor, instance: Tensor, semantics: Tensor, normals: Tensor, seeds: Sequence[int]
) -> Tensor:
    """Draw pictures with crayons.

    Args:
        pictures: (B, 3, H, W) in [0, 1].
        instance: (B, H, W) number of the object seen; negative or 255 for none.
        semantics: (B, H, W) number of the class seen, see `CLASSES`.
        normals: (B, 3, H, W) of any length, in the camera's frame.
        seeds: one for each picture, which fix paper and strokes.

    Returns:
        (B, 3, H, W) in [0, 1]. Each depends on its own picture, labels and seed alone.

    Raises:
        ShapeError: labels or seeds do not belong to the pictures.
    """
    batch, _, height, width = pictures.shape
    fits = instance.shape == semantics.shape == (batch, height, width)
    if not (fits and normals.shape == pictures.shape and len(seeds) == batch):
        raise ShapeError(
            "labels and pictures do not fit",
            got=[tuple(x.shape) for x in (pictures, instance, semantics, normals)] + [len(seeds)],
            expected="(B, 3, H, W), (B, H, W), (B, H, W), (B, 3, H, W) and B seeds",
        )
    drawn = [_Hand(seed, (height, width)) for seed in seeds]
    parts = [
        hand.draw(*labels)
        for hand, *labels in zip(
            drawn, pictures.float(), instance, semantics, normals.float(), strict=True
        )
    ]
    return torch.stack(parts)


class _Hand:
    """The hand that draws one picture: its paper, where it trembles and how its strokes lie."""

    def __init__(self, seed: int, size: tuple[int, int]) -> None:
        self.dice = Generator().manual_seed(seed)
        self.size, self.unit = size, size[0] / 64
        coarse = self._noise(1, (size[0] // 2, size[1] // 2))
        self.grain = 0.4 * self._noise(1, size)[0] + 0.8 * self._smooth(coarse)[0]
        rough = self._noise(2, (max(2, size[0] // 8), max(2, size[1] // 8)))
        self.stray = _TREMBLE * self.unit * self._smooth(rough)

    def draw(
        self, picture: Tensor, instance: Tensor, semantics: Tensor, normals: Tensor
    ) -> Tensor:
        """One drawing (3, H, W); arguments as of `crayon`, without the batch."""
        regions = _regions(instance.long(), semantics.long())
        creases = _creases(regions, normals)
        moved = self._strayed(torch.cat([regions, creases[None], picture]))
        count = len(regions)
        masks, creases, picture = moved[:count], moved[count], moved[count + 1 :]
        colors = _colors(masks, picture)
        paper = torch.tensor(PAPER)[:, None, None] * (1 + 0.012 * self.grain)
        strokes = torch.stack([self._strokes(i) for i in range(count)])
        cover = (strokes * masks).sum(0).clamp(0, 1)
        fill = torch.einsum("rc,rhw->chw", colors, masks) * _shade(picture, masks)
        drawn = paper * (1 - cover * (1 - fill.clamp(0, 1)))
        line, tint = self._lines(masks, creases, colors)
        return (drawn * (1 - line) + tint * line).clamp(0, 1)

    def _strokes(self, region: int) -> Tensor:
        """Cover (H, W) of the strokes of one region."""
        angle = float(torch.rand((), generator=self.dice)) * 0.9 + 0.35
        phase = float(torch.rand((), generator=self.dice)) * math.tau
        names = list(FILLED)
        share = FILLED[names[region]] if region < _PLACES else OBJECTS
        y, x = (torch.arange(n) / self.unit for n in self.size)
        across = x[None] * math.sin(angle) + y[:, None] * math.cos(angle)
        wave = torch.sin(across * math.tau / _STROKE + phase + 1.2 * self.stray[0] / self.unit)
        free = max(min(share, 1 - share), 0.08)
        return share + free * (_WAVE * wave - _GRAIN * self.grain)

    def _lines(self, masks: Tensor, creases: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
        """Strength (H, W) and colour (3, H, W) of the outlines."""
        soft = _blurred(_blurred(masks))
        edge = (4 * soft * (1 - soft)).clamp(0, 1)
        dark = 0.36 * colors + 0.02
        # A line takes the colour of the object at its side; between places it is faint.
        mine = edge[_PLACES:]
        tint = torch.einsum("rc,rhw->chw", dark[_PLACES:], mine) / mine.sum(0).clamp_min(1e-4)
        inner = 0.6 * _blurred(creases[None])[0].clamp(0, 1) * 2
        outer = mine.amax(0) if len(mine) else torch.zeros_like(creases)
        places = 0.35 * edge[:_PLACES].amax(0)
        owner = torch.einsum("rc,rhw->chw", dark, soft)
        tint = torch.where(outer > 0.1, tint, owner)
        line = torch.maximum(torch.maximum(outer, inner.clamp(0, 0.7)), places)
        return (line * (0.92 - 0.22 * self.grain)).clamp(0, 1), tint.clamp(0, 1)

    def _strayed(self, maps: Tensor) -> Tensor:
        """Maps (C, H, W) seen where the hand strays to."""
        height, width = self.size
        y, x = (torch.arange(n) + 0.5 for n in self.size)
        at = torch.stack([x[None] + self.stray[0], y[:, None] + self.stray[1]], -1)
        at = at / torch.tensor([width, height]) * 2 - 1
        return F.grid_sample(maps[None], at[None], padding_mode="border", align_corners=False)[0]

    def _noise(self, channels: int, size: tuple[int, int]) -> Tensor:
        return torch.randn(channels, *size, generator=self.dice)

    def _smooth(self, coarse: Tensor) -> Tensor:
        return F.interpolate(coarse[None], self.size, mode="bicubic", align_corners=False)[0]


def _regions(instance: Tensor, semantics: Tensor) -> Tensor:
    """Masks (3 + N, H, W) of sky, ground, wall and N objects."""
    none = (instance < 0) | (instance == 255)
    numbers = instance[~none].unique().tolist()
    places = [none & (semantics == SEMANTICS.index(name)) for name in FILLED]
    return torch.stack([*places, *(instance == n for n in numbers)]).float()


def _creases(regions: Tensor, normals: Tensor) -> Tensor:
    """Where an object's own surface turns sharply: (H, W) of zeros and ones."""
    unit = F.normalize(normals, dim=0)
    inside = regions[_PLACES:].sum(0) > 0
    label = regions.argmax(0)
    found = torch.zeros_like(label, dtype=torch.float32)
    for axis in (-1, -2):
        length = label.shape[axis] - 1
        sides = [(v.narrow(axis, 0, length), v.narrow(axis, 1, length)) for v in (label, unit)]
        same = (sides[0][0] == sides[0][1]) & inside.narrow(axis, 0, length)
        sharp = (sides[1][0] * sides[1][1]).sum(0) < _CREASE
        found.narrow(axis, 0, length).add_((same & sharp).float())
    return found.clamp_max(1)


def _colors(masks: Tensor, picture: Tensor) -> Tensor:
    """The crayon of each region, (R, 3): its mean colour, more vivid."""
    area = masks.sum((1, 2)).clamp_min(1e-4)
    mean = torch.einsum("chw,rhw->rc", picture, masks) / area[:, None]
    gray = (mean * mean.new_tensor(_LUMA)).sum(1, keepdim=True)
    return (gray + _VIVID * (mean - gray)).clamp(0, 1)


def _shade(picture: Tensor, masks: Tensor) -> Tensor:
    """A little of light and shadow, (H, W) around 1: brightness against the region's own."""
    gray = (picture * picture.new_tensor(_LUMA)[:, None, None]).sum(0)
    mean = (gray * masks).sum((1, 2)) / masks.sum((1, 2)).clamp_min(1e-4)
    usual = torch.einsum("r,rhw->hw", mean, masks).clamp_min(0.05)
    return (1 + _SHADE * (gray / usual - 1)).clamp(0.6, 1.25)


def _blurred(maps: Tensor) -> Tensor:
    """Maps (C, H, W) after a binomial filter of three."""
    row = maps.new_tensor([0.25, 0.5, 0.25])
    kernel = (row[:, None] * row)[None, None]
    padded = F.pad(maps[:, None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, kernel)[:, 0]
