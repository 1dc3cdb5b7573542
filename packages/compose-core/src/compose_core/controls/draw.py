"""The picture of a scene that a ControlNet follows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compose_core.conditions import Box, Condition, Depth, Keypoints, Mask, Segments, Text
from compose_core.controls.palette import Palette
from compose_core.controls.skeleton import Skeleton, plain
from compose_core.controls.style import Style
from compose_core.scene import Scene

__all__ = ["draw_control"]

_Layers = list[tuple[str, tuple[Condition, ...]]]


def draw_control(scene: Scene, style: Style) -> Tensor:
    """(1, 3, H, W) in [0, 1], of the size of the canvas, nearer layers over farther ones.

    Raises:
        UsageError: A layer names no class of the palette.
    """
    conditions = scene.conditions()
    layers = [(x.name, conditions[x.name]) for x in scene.ordered if x.weight > 0]
    if style.control == "depth":
        return _depth(scene, layers)
    if style.control == "segments":
        return _segments(scene, layers, style.palette)
    return _skeletons(scene, layers, style.skeleton)


def _depth(scene: Scene, layers: _Layers) -> Tensor:
    picture = np.zeros((scene.height, scene.width), np.float32)
    for _, own in layers:
        for depth in (x for x in own if isinstance(x, Depth)):
            picture = np.maximum(picture, depth.values)
    return torch.from_numpy(picture)[None, None].repeat(1, 3, 1, 1)


def _segments(scene: Scene, layers: _Layers, palette: Palette) -> Tensor:
    """Label maps as they are; a mask or box in the colour of what its layer names."""
    pixels = np.zeros((scene.height, scene.width, 3), np.uint8)
    for number, (name, own) in enumerate(layers, 1):
        labels = next((x.values for x in own if isinstance(x, Segments)), None)
        if labels is not None:
            for label in np.unique(labels[labels > 0]):
                pixels[labels == label] = palette.of_number(int(label))
            continue
        for inside in _places(own, (scene.height, scene.width)):
            phrases = [x.phrase for x in own if isinstance(x, Text)]
            pixels[inside] = palette.of_words(number, *phrases, name)
    return torch.from_numpy(pixels.astype(np.float32) / 255).movedim(-1, 0)[None]


def _places(own: tuple[Condition, ...], size: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    """Where a layer is: its mask, else its box."""
    for condition in own:
        if isinstance(condition, Mask):
            yield condition.values >= 0.5
            return
    for condition in own:
        if isinstance(condition, Box):
            yield condition.coverage(*size) >= 0.5
            return


def _skeletons(scene: Scene, layers: _Layers, skeleton: Skeleton) -> Tensor:
    groups = [
        {plain(name): at for name, at in group.points.items()}
        for _, own in layers
        for group in own
        if isinstance(group, Keypoints)
    ]
    others = tuple(sorted({name for group in groups for name in group} - set(skeleton.points)))
    nowhere = (float("nan"), float("nan"))
    at = [[group.get(name, nowhere) for name in (*skeleton.points, *others)] for group in groups]
    size = (scene.height, scene.width)
    points = torch.tensor(at).reshape(1, len(groups), len(skeleton.points) + len(others), 2)
    return skeleton.draw(points, size, others)
