"""From a scene to a stack of labels: solids rendered and compared in depth, files pasted.

Proxies are the texture-less 3-D model of the paper: where several meet, the nearest one is seen,
with all of its labels. Edges are those that clay would show, since the world has no textures yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from compose_core.conditions import (
    Box,
    Condition,
    Depth,
    Edges,
    LabelMap,
    Mask,
    Normals,
    Segments,
)
from compose_core.scene import Scene
from compose_core.scene.layer import Layer as SceneLayer
from compose_tlam.checks import check_layer, contradictions
from compose_tlam.data.derive import clay_edges
from compose_tlam.labels import LabelSet
from compose_tlam.stack import LabelStack, Layer, missing

__all__ = ["KEYS", "Labelled", "Rendered", "from_scene", "nearest"]

KEYS = frozenset(
    {"box", "mask", "depth", "segments", "normals", "edges", "curvature", "z", "proxy"}
)
"""What of a scene becomes labels, or says where they go."""


class Labelled(NamedTuple):
    """A stack of labels, and what could not be done as asked."""

    stack: LabelStack
    remarks: tuple[str, ...]


class Rendered(NamedTuple):
    """Labels of one solid on its ground.

    Attributes:
        depth: (H, W), near is larger.
        inside: (H, W) bool, its silhouette.
        stack: Its labels, a batch of one.
    """

    depth: Tensor
    inside: Tensor
    stack: LabelStack


def from_scene(scene: Scene, labels: LabelSet) -> Labelled:
    """The labels that a scene gives, of those of a registry.

    Layers with proxies are rendered and compared in depth. Files of layers are pasted from back
    to front, inside their mask or box; proxies stand in front of them.

    Raises:
        SceneError: A file holds class numbers that are not known.
    """
    size = (scene.height, scene.width)
    found = scene.conditions()
    solids, flat = [], []
    for layer in scene.ordered:
        (solids if layer.proxy is not None else flat).append(layer)
    remarks: list[str] = []
    stack = _empty(labels, size)
    for layer in flat:
        stack = _pasted(stack, layer, found[layer.name])
    if solids:
        made = nearest([rendered(found[x.name], labels, x.name) for x in solids])
        if stack.empty:
            stack = made
        else:
            stack = _in_front(stack, made)
            remarks.append(
                "labels from files and from proxies have no common depth: proxies are in front"
            )
    if stack.empty:
        remarks.append(
            "the scene gives no label: the picture is what the model paints without any"
        )
    return Labelled(stack, (*remarks, *contradictions(stack)))


def rendered(conditions: Sequence[Condition], labels: LabelSet, name: str) -> Rendered:
    """What a renderer says of one proxy, under a registry.

    Raises:
        SceneError: Its class is not known to the model.
    """
    depth, inside = torch.zeros(0), torch.zeros(0, dtype=torch.bool)
    layers: dict[str, Layer] = {}
    for condition in conditions:
        match condition:
            case Mask(values):
                inside = _tensor(values) > 0.5
            case Depth(values):
                depth = _tensor(values)
                layers["depth"] = _real(depth[..., None])
            case Normals(values):
                layers["normals"] = _real(_tensor(values))
            case Segments(values):
                whole = torch.ones(1, *values.shape, dtype=torch.bool)
                layers["semantics"] = Layer(torch.from_numpy(values.copy())[None], whole)
            case LabelMap(task, values):
                layers[task] = _real(_tensor(values))
            case _:
                pass
    layers = {key: layer for key, layer in layers.items() if key in labels.names}
    for key, layer in layers.items():
        layers[key] = check_layer(labels.named(key), layer, f"the proxy of layer {name!r}")
    height, width = depth.shape
    none = {labels[0].name: missing(labels[0], 1, height, width)}
    stack = LabelStack(labels, layers or none)
    return Rendered(depth, inside, _with_edges(_without_sky(stack)))


def nearest(solids: Sequence[Rendered]) -> LabelStack:
    """What is seen of several solids: at each pixel the labels of the nearest surface."""
    depth = torch.stack([one.depth for one in solids])
    # Of equal depths (the ground that all stand on) the silhouette decides.
    inside = torch.stack([one.inside for one in solids])
    winner = (depth + 1e-6 * inside).argmax(0)
    stack = solids[0].stack
    for n, one in enumerate(solids[1:], 1):
        stack = overlaid(stack, one.stack, winner[None] == n)
    return _with_edges(stack) if len(solids) > 1 else stack


def overlaid(under: LabelStack, over: LabelStack, where: Tensor) -> LabelStack:
    """The labels of `over` where `where` (B, H, W) says so, missing ones too; else of `under`."""
    layers: dict[str, Layer] = {}
    for label in under.labels:
        if label.name not in under.layers and label.name not in over.layers:
            continue
        a, b = (
            one.layers.get(label.name) or missing(label, *under.shape, under.device)
            for one in (under, over)
        )
        plane = where if label.discrete else where[:, None]
        layers[label.name] = Layer(
            torch.where(plane, b.value, a.value), torch.where(where, b.valid, a.valid)
        )
    return LabelStack(under.labels, layers)


def _pasted(stack: LabelStack, layer: SceneLayer, conditions: Sequence[Condition]) -> LabelStack:
    """Labels from the files of one layer, inside its region."""
    batch, height, width = stack.shape
    region = torch.ones(height, width, dtype=torch.bool)
    layers: dict[str, Layer] = {}
    for condition in conditions:
        match condition:
            case Mask(values):
                region = _tensor(values) > 0.5
            case Box():
                region = _tensor(condition.coverage(height, width)) > 0.5
            case Depth(values):
                layers["depth"] = _real(_tensor(values)[..., None])
            case Segments(values):
                whole = torch.ones(1, *values.shape, dtype=torch.bool)
                layers["semantics"] = Layer(torch.from_numpy(values.copy())[None], whole)
            case Normals(values):
                some = _real(_tensor(values))
                layers["normals"] = Layer(some.value, some.value.norm(dim=1) > 0.5)
            case Edges(values):
                layers["edges"] = _real(_tensor(values)[..., None])
            case LabelMap(task, values):
                layers[task] = _real(_tensor(values))
            case _:
                pass
    known = {key: x for key, x in layers.items() if key in stack.labels.names}
    for key, x in known.items():
        check_layer(
            stack.labels.named(key), Layer(x.value, x.valid & region), f"layer {layer.name!r}"
        )
    if not known:
        return stack
    mixed = overlaid(stack, LabelStack(stack.labels, known), region[None])
    kept = {key: x for key, x in stack.layers.items() if key not in known}
    return LabelStack(stack.labels, {**mixed.layers, **kept})


def _in_front(flat: LabelStack, solid: LabelStack) -> LabelStack:
    """Solids, without their ground and sky, in front of what files say."""
    classes = solid.layers.get("semantics")
    if classes is None:
        return solid
    names = solid.labels.named("semantics").classes
    ground = torch.zeros_like(classes.valid)
    for name in ("sky", "ground", "wall"):
        if name in names:
            ground |= classes.value == names.index(name)
    return overlaid(flat, solid, ~ground)


def _without_sky(stack: LabelStack) -> LabelStack:
    """Surfaces have no normal and no curvature in the sky."""
    classes = stack.layers.get("semantics")
    names = stack.labels.named("semantics").classes if classes is not None else ()
    if classes is None or "sky" not in names:
        return stack
    sky = classes.valid & (classes.value == names.index("sky"))
    return stack.dropped({key: sky for key in ("normals", "curvature") if key in stack.layers})


def _with_edges(stack: LabelStack) -> LabelStack:
    """Edges that clay would show, from normals."""
    normals = stack.layers.get("normals")
    if normals is None or "edges" not in stack.labels.names:
        return stack
    found = clay_edges(normals.value, normals.valid)
    whole = torch.ones_like(normals.valid)
    return LabelStack(stack.labels, {**stack.layers, "edges": Layer(found, whole)})


def _empty(labels: LabelSet, size: tuple[int, int]) -> LabelStack:
    return LabelStack(labels, {labels[0].name: missing(labels[0], 1, *size, "cpu")})


def _real(values: Tensor) -> Layer:
    """(H, W, C) as a layer that is valid everywhere."""
    picture = values.permute(2, 0, 1)[None].contiguous()
    return Layer(picture, torch.ones_like(picture[:, 0], dtype=torch.bool))


def _tensor(values: np.ndarray) -> Tensor:  # type: ignore[type-arg]
    return torch.from_numpy(np.array(values, np.float32))
