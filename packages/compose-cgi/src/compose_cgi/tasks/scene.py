"""Background and objects, each on a canvas of its own, and the picture cut out of them (Sec. 6.2).

The canvases are the background x1 and the objects x2, x3, ...; each is observed as it is, and the
composite y = (1 - M) x1 + M x2 under the words for the whole scene. So the background is whole
behind an object, and an object is complete where another covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.tasks.layout import Composition, Space, psi_of
from compose_cgi.views import Through
from compose_cgi.voices import Voices
from compose_core.denoiser import Denoiser
from compose_core.errors import UsageError
from compose_core.method import Beside
from compose_core.scene import Layer, Scene, visible
from compose_core.views import Blend, View, Whole, Window

__all__ = ["Noise", "from_scene"]

Noise = Literal["independent", "shared"]
"""Whether all canvases start from the same noise."""

BACKGROUND, COMPOSITE = "background", "composite"


def from_scene(
    voices: Voices, space: Space, scene: Scene, *, noise: Noise = "independent"
) -> Composition:
    """The graph of a scene with layers that have a place.

    The farthest layer without a place is the background; without one it hears the scene's prompt.
    Regions are cut at the cells of the latents: each cell of the composite is one canvas's.

    Args:
        voices: The model.
        space: The canvas; larger than the model it is covered by windows, of every canvas.
        scene: What is asked for.
        noise: How the canvases start. Alike, object and background share what is not decided
            otherwise, such as the light.

    Raises:
        UsageError: No layer has a place, or the windows are to move.
    """
    if space.moving:
        raise UsageError("only the windows of a panorama move", got="shift=True")
    regions = {name: torch.tensor(at) for name, at in scene.regions(*space.size).items()}
    everywhere = {name for name, at in regions.items() if bool((at == 1).all())}
    layers = [x for x in scene.ordered if x.name not in everywhere and x.weight > 0]
    if not layers:
        raise UsageError(
            "a scene of background and objects needs an object with a place",
            got=", ".join(repr(layer.name) for layer in scene.layers),
            expected="a layer with a box, a mask or a proxy",
        )
    ground = next((x for x in scene.ordered if x.name in everywhere and x.weight > 0), None)
    cut = {x.name: (regions[x.name] >= 0.5).numpy().astype("float32") for x in layers}
    shown = torch.stack([torch.tensor(visible(cut)[x.name]) for x in layers])
    masks = torch.cat([(1 - shown.sum(0))[None], shown]).to(voices.device)
    names = _canvases(ground, layers)
    canvases = dict(zip(names, [ground, *layers], strict=True))
    graph = Graph(
        [Variable(name, space.size) for name in names],
        list(_observations(voices, space, scene, canvases, masks)),
    )
    beside = {names[0]: Beside(view=graph.view_of(names[0]))}
    for name, layer in zip(names[1:], layers, strict=True):
        alpha = torch.tensor(scene.regions(scene.height, scene.width)[layer.name])
        beside[name] = Beside(view=graph.view_of(name), alpha=alpha)
    return Composition(
        graph=graph,
        picture=graph.view_of(*names, view=Blend(masks)),
        beside=beside,
        start=_start(space, len(names), noise),
        remarks=tuple(_remarks(scene, ground, layers, masks[1:])),
    )


def _observations(
    voices: Voices,
    space: Space,
    scene: Scene,
    canvases: dict[str, Layer | None],
    masks: Tensor,
) -> Iterator[Observation]:
    windows: list[Window | None] = [None] if space.fits else list(space.windows()[0])
    composite, together = Blend(masks), COMPOSITE
    while together in canvases:
        together += "'"
    for number, window in enumerate(windows, 1):
        size = space.size if window is None else window.size
        end = "" if window is None else f" {number}"
        alone: View = Whole() if window is None else window
        for name, layer in canvases.items():
            said = _said(voices, scene, layer)
            weight = 1.0 if layer is None else layer.weight
            psi = psi_of(space.weights, size, weight)
            yield Observation(name + end, (name,), said, alone, psi)
        through = composite if window is None else Through(composite, window, space.size)
        said = voices.say(scene.prompt, scene.negative)
        psi = psi_of(space.weights, size)
        yield Observation(together + end, tuple(canvases), said, through, psi)


def _said(voices: Voices, scene: Scene, layer: Layer | None) -> Denoiser:
    if layer is None:
        return voices.say(scene.prompt, scene.negative)
    negative = scene.negative if layer.negative is None else layer.negative
    return voices.say(layer.prompt or scene.prompt, negative)


def _canvases(ground: Layer | None, layers: list[Layer]) -> tuple[str, ...]:
    taken = {layer.name for layer in layers}
    first = BACKGROUND if ground is None else ground.name
    while first in taken:
        first += "'"
    return (first, *(layer.name for layer in layers))


def _start(space: Space, count: int, noise: Noise) -> Callable[[Tensor], Tensor] | None:
    if noise == "independent":
        return None
    cells = torch.Size(space.size).numel()
    return lambda x: x[..., :cells].repeat(1, 1, count)


def _remarks(
    scene: Scene, ground: Layer | None, layers: list[Layer], shown: Tensor
) -> Iterator[str]:
    if ground is None:
        yield (
            "no layer is the background (one without a box or mask): it hears the prompt of the "
            "scene, objects and all"
        )
    for layer in scene.layers:
        if layer not in layers and layer is not ground and layer.weight > 0:
            yield f"layer {layer.name!r} is everywhere too: only the farthest is the background"
    for layer, mask in zip(layers, shown, strict=True):
        if not bool(mask.any()):
            yield (
                f"layer {layer.name!r} has no cell of the picture: nearer layers cover it, or it "
                "is smaller than a cell of the latents"
            )
