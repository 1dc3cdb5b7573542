"""Canvases wider than a model: windows that overlap, each under its own words (Sec. 6.1)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.tasks.layout import Composition, Space, psi_of
from compose_cgi.voices import Voices
from compose_core.denoiser import Denoiser
from compose_core.errors import UsageError
from compose_core.scene import Scene
from compose_core.views import Window

__all__ = ["from_prompts", "from_scene", "shares_along"]

CANVAS = "panorama"


def from_prompts(
    voices: Voices,
    space: Space,
    prompts: str | Sequence[str],
    negative: str = "",
    *,
    blend: bool = False,
) -> Composition:
    """A panorama under one prompt, one for each view, or prompts that blend along it.

    Args:
        voices: The model.
        space: The canvas.
        prompts: One for all views; or one for each, in reading order; or, with `blend`, any number
            of two and more, spread along the longer side.
        negative: What all views are guided away from.
        blend: Whether words change gradually: each view hears the embeddings of the two nearest
            prompts, mixed by how near they are.

    Raises:
        UsageError: The number of prompts fits neither.
    """
    windows, _ = space.windows()
    if isinstance(prompts, str):
        said: list[Denoiser] = [voices.say(prompts, negative)] * len(windows)
    elif blend:
        if len(prompts) < 2:
            raise UsageError(
                "there is nothing to blend", got=f"{len(prompts)} prompts", expected="two or more"
            )
        said = [
            voices.between(prompts, shares_along(window, space, len(prompts)), negative)
            for window in windows
        ]
    elif len(prompts) == len(windows):
        said = [voices.say(prompt, negative) for prompt in prompts]
    else:
        rows, columns = (len({window.start[axis] for window in windows}) for axis in (0, 1))
        grid = f" ({rows} x {columns})" if rows * columns == len(windows) else ""
        raise UsageError(
            "prompts and views do not match",
            got=f"{len(prompts)} prompts",
            expected=f"1, or one for each of {len(windows)} views{grid}",
            remedy="blend=True spreads any number of prompts along the picture",
        )
    return _composed(space, windows, said, [1.0] * len(windows))


def from_scene(voices: Voices, space: Space, scene: Scene) -> Composition:
    """A panorama under the layers of a scene.

    A view hears a layer if it shows half of the layer's region, or if the region fills half of
    the view. Where it hears several it hears their prompts joined; where none, the layers that
    are everywhere, else the prompt of the scene.
    """
    regions = {name: torch.tensor(at) for name, at in scene.regions(*space.size).items()}
    everywhere = {name for name, at in regions.items() if bool((at == 1).all())}
    placed = [
        layer
        for layer in scene.ordered
        if layer.prompt and layer.weight > 0 and layer.name not in everywhere
    ]
    ground = [
        layer
        for layer in scene.ordered
        if layer.name in everywhere and layer.prompt and layer.weight
    ]
    said: list[Denoiser] = []
    weights: list[float] = []
    heard: set[str] = set()
    windows, _ = space.windows()
    for window in windows:
        here = [x for x in placed if _shown(window, regions[x.name])] or ground
        heard |= {layer.name for layer in here}
        prompt = " and ".join(dict.fromkeys(x.prompt for x in here if x.prompt)) or scene.prompt
        away = [scene.negative if x.negative is None else x.negative for x in here]
        negative = ", ".join(dict.fromkeys(filter(None, away))) if here else scene.negative
        said.append(voices.say(prompt, negative))
        weights.append(sum(x.weight for x in here) / len(here) if here else 1.0)
    silent = [
        f"no view shows enough of layer {layer.name!r} to hear its prompt"
        for layer in placed
        if layer.name not in heard
    ]
    return _composed(space, windows, said, weights, tuple(silent))


def shares_along(window: Window, space: Space, count: int) -> list[float]:
    """How much of each of `count` prompts a window hears.

    Their places are evenly spread along the longer side, each in the middle of its share; between
    two of them a window hears both, and on a closed side the last is beside the first.
    """
    axis = 0 if space.size[0] > space.size[1] else 1
    length = space.size[axis]
    at = (window.start[axis] + window.size[axis] / 2) / length * count - 0.5
    low = int(at // 1)
    part = at - low
    shares = [0.0] * count
    ends = (low, low + 1)
    for k, share in zip(ends, (1 - part, part), strict=True):
        k = k % count if space.wrap[axis] else min(max(k, 0), count - 1)
        shares[k] += share
    return shares


def _shown(window: Window, region: Tensor) -> bool:
    seen = float(window.observe(region).sum())
    return seen > 0 and seen >= 0.5 * min(
        float(region.sum()), float(torch.Size(window.size).numel())
    )


def _composed(
    space: Space,
    windows: Sequence[Window],
    said: Sequence[Denoiser],
    weights: Sequence[float],
    remarks: tuple[str, ...] = (),
) -> Composition:
    rows = zip(windows, said, weights, strict=True)
    names = _names(space, windows)
    observations = [
        Observation(name, (CANVAS,), one, window, psi_of(space.weights, window.size, weight))
        for name, (window, one, weight) in zip(names, rows, strict=True)
    ]
    graph = Graph([Variable(CANVAS, space.size)], observations)
    return Composition(graph=graph, shift=space.windows()[1], remarks=remarks)


def _names(space: Space, windows: Sequence[Window]) -> list[str]:
    """Numbers in reading order: `view 3`, or `view 1.3` where there are several rows."""
    rows = sorted({window.start[0] for window in windows})
    ends = [i for i, (a, b) in enumerate(pairwise(windows), 1) if a.start[0] != b.start[0]]
    width = ends[0] if ends else len(windows)
    if len(rows) == 1:
        return [f"view {i + 1}" for i in range(len(windows))]
    return [f"view {i // width + 1}.{i % width + 1}" for i in range(len(windows))]
