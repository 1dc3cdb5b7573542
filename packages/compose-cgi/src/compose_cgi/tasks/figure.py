"""A figure with details: the whole as its keypoints say, and crops under words of their own.

The paper's body and face (Sec. 6.3): one canvas, observed as a whole by a model that a ControlNet
leads, and in a crop around the head by the model alone, under a detailed prompt. Any number of
details is possible. The box of a detail comes from its keypoints.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.tasks.layout import Composition, Space, psi_of
from compose_cgi.voices import Voices
from compose_core.conditions import Box, Condition, Keypoints
from compose_core.errors import SceneError
from compose_core.scene import Layer, Scene
from compose_core.views import Whole, Window

__all__ = ["Detail", "crop_around", "from_scene"]

CANVAS, WHOLE = "figure", "whole"
ROOM = 0.5
"""How much larger than the points a crop is: half as much again."""
SHARE = 0.5
"""The least side of a crop as a share of the canvas's shorter one: the paper's 48 of 96."""


class Detail(NamedTuple):
    """A layer whose words are for a crop, the box of what it names, and whether that is the crop.

    A box that the layer gives is its crop; one around points or a solid gets room.
    """

    layer: Layer
    box: Box
    exact: bool


def from_scene(
    voices: Voices, space: Space, scene: Scene, control: Tensor | None = None, grain: int = 4
) -> Composition:
    """The graph of a scene with keypoints.

    The prompt of the scene is for the whole. A layer with keypoints and without a prompt only
    leads the figure; one with both is a detail, cropped around its points, or in its box.

    Args:
        voices: The model; its network reads `"control"` if one is given.
        space: The canvas.
        scene: What is asked for.
        control: What leads the whole, `(1, 3, H, W)`.
        grain: Sides of crops are multiples of it, which the network halves evenly.

    Raises:
        SceneError: A detail has neither points nor a box on the canvas.
    """
    said = voices.say(scene.prompt, scene.negative, control)
    seen = [Observation(WHOLE, (CANVAS,), said, Whole())]
    remarks: list[str] = []
    for detail in _details(scene):
        layer = detail.layer
        negative = scene.negative if layer.negative is None else layer.negative
        window = crop_around(detail.box, space.size, grain, exact=detail.exact)
        psi = psi_of(space.weights, window.size, layer.weight)
        name = layer.name if layer.name != WHOLE else f"{WHOLE}'"
        close = voices.say(layer.prompt or scene.prompt, negative)
        seen.append(Observation(name, (CANVAS,), close, window, psi))
    if len(seen) == 1:
        remarks.append(
            "no layer is a detail, with a prompt and keypoints or a box: the whole is drawn alone"
        )
    graph = Graph([Variable(CANVAS, space.size)], seen)
    return Composition(graph=graph, remarks=tuple(remarks))


def crop_around(box: Box, size: tuple[int, int], grain: int, *, exact: bool = False) -> Window:
    """A crop of a canvas of `size` cells (h, w) around a box, inside the canvas.

    A square, half as large again as the box and at least half of the shorter side of the canvas;
    if `exact`, the box itself. Sides are multiples of `grain` unless the canvas is smaller.
    """
    height, width = size
    needed = ((box.y1 - box.y0) * height, (box.x1 - box.x0) * width)
    if not exact:
        needed = (math.ceil(max(max(needed) * (1 + ROOM), SHARE * min(size)) / grain) * grain,) * 2
    sides = [max(round(n / grain), 1) * grain for n in needed]
    extent = (min(sides[0], height), min(sides[1], width))
    middle = ((box.y0 + box.y1) / 2 * height, (box.x0 + box.x1) / 2 * width)
    start = tuple(
        min(max(round(at - n / 2), 0), whole - n)
        for at, n, whole in zip(middle, extent, size, strict=True)
    )
    return Window((start[0], start[1]), extent)


def _details(scene: Scene) -> Iterator[Detail]:
    conditions = scene.conditions()
    for layer in scene.ordered:
        if layer.prompt is not None and layer.weight > 0:
            box = _box(layer, conditions[layer.name])
            yield Detail(layer, box, layer.box is not None)


def _box(layer: Layer, conditions: tuple[Condition, ...]) -> Box:
    """The box that a layer gives, else the bounds of its points, else those of its proxy."""
    boxes = [x for x in conditions if isinstance(x, Box)]
    points = [x for x in conditions if isinstance(x, Keypoints)]
    if points and layer.box is None:
        return _bounds(layer, points[0])
    if boxes:
        return boxes[0]
    found = sorted({c.kind for c in conditions} - {"position"})
    raise SceneError(
        f"the detail {layer.name!r} has no place",
        got=", ".join(found),
        expected="keypoints, or a box",
        remedy="say where it is, or move its words to the prompt of the scene",
    )


def _bounds(layer: Layer, points: Keypoints) -> Box:
    inside = [(x, y) for x, y in points.points.values() if 0 <= x <= 1 and 0 <= y <= 1]
    if not inside:
        raise SceneError(
            f"no keypoint of layer {layer.name!r} is on the canvas",
            got=dict(points.points),
            expected="points from 0 to 1",
        )
    columns, rows = zip(*inside, strict=True)
    tiny = 1e-6  # a single point has a place, too
    return Box(min(columns) - tiny, min(rows) - tiny, max(columns) + tiny, max(rows) + tiny)
