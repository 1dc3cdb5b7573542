"""Pictures that tell a ControlNet where things are, drawn from a scene.

Segments are flat colours, one for each label. Groups of keypoints are drawn as published
ControlNets for poses see them, by the 18 points, 17 limbs and colours of OpenPose; points of other
names are white dots.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from compose_core.conditions import Box, Condition, Depth, Keypoints, Mask, Segments
from compose_core.errors import UsageError
from compose_core.scene import Scene

__all__ = ["POINTS", "Control", "check_control", "colour_of", "draw_control"]

Control = Literal["keypoints", "segments", "depth"]
"""What a ControlNet was trained to follow."""

_GOLDEN = 0.618033988749895

POINTS = (
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow",
    "left wrist", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip
"""The points of a body in the order of OpenPose (Cao et al. 2017, COCO layout)."""

_LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12),
    (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""Which points are joined; limb `i` and point `i` have the `i`-th of 18 hues."""


def check_control(control: str) -> None:
    """Refuse what no ControlNet here follows.

    Raises:
        UsageError: `control` is unknown.
    """
    if control not in get_args(Control):
        known = ", ".join(get_args(Control))
        raise UsageError("unknown control", got=repr(control), expected=f"one of {known}")


def colour_of(label: int) -> tuple[int, int, int]:
    """The colour of a label number; 0 is black, others lie around the circle of hues."""
    if label <= 0:
        return (0, 0, 0)
    r, g, b = colorsys.hsv_to_rgb((label * _GOLDEN) % 1.0, 0.85, 1.0)
    return (round(255 * r), round(255 * g), round(255 * b))


def draw_control(scene: Scene, control: Control) -> Tensor:
    """(1, 3, H, W) in [0, 1], of the size of the canvas, nearer layers over farther ones."""
    conditions = scene.conditions()
    layers = [(x.name, conditions[x.name]) for x in scene.ordered if x.weight > 0]
    if control == "depth":
        picture = np.zeros((scene.height, scene.width), np.float32)
        for _, own in layers:
            for depth in (x for x in own if isinstance(x, Depth)):
                picture = np.maximum(picture, depth.values)
        return torch.from_numpy(picture)[None, None].repeat(1, 3, 1, 1)
    if control == "segments":
        pixels = np.zeros((scene.height, scene.width, 3), np.uint8)
        for number, (_, own) in enumerate(layers, 1):
            for labels in _labels(own, number, (scene.height, scene.width)):
                for label in np.unique(labels[labels > 0]):
                    pixels[labels == label] = colour_of(int(label))
        return _tensor(pixels)
    return _tensor(np.asarray(_skeletons(scene, layers)))


def _labels(
    own: tuple[Condition, ...], number: int, size: tuple[int, int]
) -> Iterator[NDArray[np.int64]]:
    """The label map of a layer; its number where a mask or box says only where it is."""
    for condition in own:
        if isinstance(condition, Segments):
            yield condition.values
            return
    for condition in own:
        if isinstance(condition, Mask):
            yield (condition.values >= 0.5).astype(np.int64) * number
            return
    for condition in own:
        if isinstance(condition, Box):
            yield (condition.coverage(*size) >= 0.5).astype(np.int64) * number
            return


def _skeletons(scene: Scene, layers: list[tuple[str, tuple[Condition, ...]]]) -> Image.Image:
    """Limbs at 0.6 of their colour, points over them, each group over those behind it."""
    picture = Image.new("RGB", (scene.width, scene.height))
    draw = ImageDraw.Draw(picture)
    radius = max(scene.width, scene.height) / 128
    for _, own in layers:
        for group in (x for x in own if isinstance(x, Keypoints)):
            at = {
                _plain(name): (x * scene.width, y * scene.height)
                for name, (x, y) in group.points.items()
            }
            for i, (a, b) in enumerate(_LIMBS):
                if POINTS[a] in at and POINTS[b] in at:
                    faint = tuple(round(0.6 * channel) for channel in _hue(i))
                    ends = [at[POINTS[a]], at[POINTS[b]]]
                    draw.line(ends, fill=faint, width=max(1, round(2 * radius)))
            for name, (x, y) in at.items():
                colour = _hue(POINTS.index(name)) if name in POINTS else (255, 255, 255)
                spot = (x - radius, y - radius, x + radius, y + radius)
                draw.ellipse(spot, fill=colour)
    return picture


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _hue(i: int) -> tuple[int, int, int]:
    """The `i`-th of 18 steps around the circle of hues, from red over green and blue."""
    r, g, b = colorsys.hsv_to_rgb(i / 18, 1.0, 1.0)
    return (round(255 * r), round(255 * g), round(255 * b))


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255).movedim(-1, 0)[None]
