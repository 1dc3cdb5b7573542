"""Keypoints as a ControlNet sees them: limbs and dots in colours on black."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError

__all__ = ["OPENPOSE", "Colour", "Limb", "Skeleton", "plain"]

Colour = tuple[int, int, int]
"""RGB in [0, 255]."""

WHITE: Colour = (255, 255, 255)


@final
@dataclass(frozen=True)
class Limb:
    """A line between two points."""

    start: str
    end: str
    colour: Colour


@final
@dataclass(frozen=True)
class Skeleton:
    """How groups of keypoints are drawn.

    Attributes:
        points: The colours of the points, by name.
        limbs: Lines between them, drawn in this order and below all points of their group.
        line: Half the width of a line, as a share of the longer side of the canvas.
        dot: Radius of a point, likewise.

    Raises:
        UsageError: A limb ends at a point that there is none of, or a width is none.
    """

    points: Mapping[str, Colour]
    limbs: tuple[Limb, ...]
    line: float = 1 / 128
    dot: float = 1 / 128

    def __post_init__(self) -> None:
        """Check that every end is a point."""
        for limb in self.limbs:
            for end in (limb.start, limb.end):
                if end not in self.points:
                    raise UsageError(
                        "a limb ends at no point", got=repr(end), expected=", ".join(self.points)
                    )
        if not (0 <= self.line < 1 and 0 <= self.dot < 1):
            raise UsageError(
                "a width is a share of the canvas", got=(self.line, self.dot), expected="0 to 1"
            )

    def draw(self, at: Tensor, size: tuple[int, int], names: tuple[str, ...] = ()) -> Tensor:
        """Limbs and points with soft edges, each group over those before it.

        Args:
            at: (B, N, P, 2) x, y of the points of N groups as fractions of the canvas, in the
                order of `points`, then of `names`; NaN for one that is not seen.
            size: Height and width in pixels.
            names: Points besides those of the skeleton; they become white dots.

        Returns:
            (B, 3, H, W) in [0, 1].

        Raises:
            ShapeError: There are not as many points as names.
        """
        order = {name: i for i, name in enumerate((*self.points, *names))}
        if at.ndim != 4 or at.shape[2:] != (len(order), 2):
            raise ShapeError(
                "these are no groups of keypoints",
                got=tuple(at.shape),
                expected=f"(B, N, {len(order)}, 2)",
            )
        height, width = size
        longer = max(size)
        pixel = torch.stack(
            torch.meshgrid(
                torch.arange(width, device=at.device) + 0.5,
                torch.arange(height, device=at.device) + 0.5,
                indexing="xy",
            ),
            -1,
        ).to(at)
        spots = at * torch.tensor([width, height], device=at.device, dtype=at.dtype)
        picture = at.new_zeros(at.shape[0], 3, height, width)
        for group in spots.unbind(1):
            for limb in self.limbs:
                start, end = group[:, order[limb.start]], group[:, order[limb.end]]
                gap = _to_line(pixel, start, end) - self.line * longer
                picture = _over(picture, gap, limb.colour)
            for name, i in order.items():
                gap = _to_point(pixel, group[:, i]) - self.dot * longer
                picture = _over(picture, gap, self.points.get(name, WHITE))
        return picture


def plain(name: str) -> str:
    """A name as it is compared: lower case, with single spaces."""
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _to_point(pixel: Tensor, at: Tensor) -> Tensor:
    """Distance (B, H, W) in pixels."""
    return (pixel - at[:, None, None]).norm(dim=-1)


def _to_line(pixel: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Distance (B, H, W) in pixels of each pixel to the nearest point of a line (B, 2)."""
    start, along = start[:, None, None], (end - start)[:, None, None]
    share = ((pixel - start) * along).sum(-1) / along.square().sum(-1).clamp_min(1e-6)
    return (pixel - start - share.clamp(0, 1)[..., None] * along).norm(dim=-1)


def _over(picture: Tensor, gap: Tensor, colour: Colour) -> Tensor:
    """Paint where the distance to a shape is below 0, softly within half a pixel of its edge."""
    alpha = (0.5 - gap).clamp(0, 1).nan_to_num(0.0)[:, None]
    paint = torch.tensor(colour, device=picture.device, dtype=picture.dtype)[:, None, None] / 255
    return picture + alpha * (paint - picture)


def _hue(i: int, light: float = 1.0) -> Colour:
    """The `i`-th of 18 steps around the circle of hues, from red over green and blue."""
    r, g, b = (round(255 * channel) for channel in colorsys.hsv_to_rgb(i / 18, 1.0, 1.0))
    return (round(light * r), round(light * g), round(light * b))


_BODY = (
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow",
    "left wrist", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip
_JOINED = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12),
    (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip

OPENPOSE = Skeleton(
    points={name: _hue(i) for i, name in enumerate(_BODY)},
    limbs=tuple(Limb(_BODY[a], _BODY[b], _hue(i, 0.6)) for i, (a, b) in enumerate(_JOINED)),
)
"""Bodies as published ControlNets for poses see them: the 18 points and 17 limbs of OpenPose
(Cao et al. 2017, COCO layout); limb `i` has the hue of point `i` at 0.6 of its brightness."""
