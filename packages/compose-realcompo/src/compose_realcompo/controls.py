"""Pictures that tell a ControlNet where things are, drawn from a scene.

Segments are flat colours, one for each label; groups of keypoints are skeletons in the colours
and order of OpenPose where their names are known, and dots where not.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from compose_core.conditions import Box, Condition, Depth, Keypoints, Mask, Segments
from compose_core.scene import Scene

__all__ = ["Control", "colour_of", "draw_control"]

Control = Literal["keypoints", "segments", "depth"]
"""What a ControlNet was trained to follow."""

_GOLDEN = 0.618033988749895


def colour_of(label: int) -> tuple[int, int, int]:
    """The colour of a label number; 0 is black, others lie around the circle of hues."""
    if label <= 0:
        return (0, 0, 0)
    r, g, b = colorsys.hsv_to_rgb((label * _GOLDEN) % 1.0, 0.85, 1.0)
    return (round(255 * r), round(255 * g), round(255 * b))


def draw_control(scene: Scene, control: Control) -> Tensor:
    """(1, 3, H, W) in [0, 1], of the size of the canvas, nearer layers over farther ones."""
    conditions = scene.conditions()
    layers = [(layer.name, conditions[layer.name]) for layer in scene.ordered]
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
    """Dots at the points of each group, joined in their order."""
    picture = Image.new("RGB", (scene.width, scene.height))
    draw = ImageDraw.Draw(picture)
    radius = max(scene.width, scene.height) / 64
    for number, (_, own) in enumerate(layers, 1):
        for group in (x for x in own if isinstance(x, Keypoints)):
            places = [(x * scene.width, y * scene.height) for x, y in group.points.values()]
            draw.line(places, fill=colour_of(number), width=max(1, round(radius)))
            for x, y in places:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="white")
    return picture


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255).movedim(-1, 0)[None]
