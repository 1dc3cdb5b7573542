"""Editing a picture through its labels: put a solid in, take something out (section 4.6).

A solid is compared with the scene in depth, pixel by pixel, and brings all of its labels; where
something is taken out, the labels of what is around it go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Literal, cast, get_args

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import SceneError, ShapeError, UsageError
from compose_core.scene import Camera, Scene
from compose_core.scene.resolve import PROXIES, ProxyResolver
from compose_tlam.checks import check_layer
from compose_tlam.data.derive import clay_edges
from compose_tlam.filling import filled
from compose_tlam.stack import LabelStack, Layer, missing

__all__ = ["Fill", "fitted_scale", "insert", "remove", "stretched"]

Scale = tuple[float, float]
"""Inverse depth, in 1 / metre, of depth 0 and of depth 1."""

_FEWEST = 16
"""Pixels of ground that a scale is fitted on, at least."""


Fill = Literal["around", "none"]
"""What stands where something was: the labels of the nearest pixels, or no labels."""


def remove(
    stack: LabelStack, mask: Tensor, *, margin: int = 1, fill: Fill = "around"
) -> LabelStack:
    """The same labels without those inside a mask.

    A painter that has learned with gaps takes a gap for something that it was not told of, and
    paints that; so the labels around go on, unless `fill` leaves the gap.

    Args:
        stack: A batch of one.
        mask: (H, W) bool.
        margin: Pixels around it whose labels go as well: edges reach one pixel beyond.
        fill: See `Fill`.

    Raises:
        ShapeError: The mask has another size.
        SceneError: It is empty.
        UsageError: There is no such way to fill.
    """
    if fill not in get_args(Fill):
        raise UsageError("unknown filling", got=repr(fill), expected=" or ".join(get_args(Fill)))
    if tuple(mask.shape) != stack.shape[1:]:
        raise ShapeError(
            "the mask has another size than the labels",
            got=f"{mask.shape[1]} x {mask.shape[0]}",
            expected=f"{stack.shape[2]} x {stack.shape[1]}",
        )
    if not bool(mask.any()):
        raise SceneError("the mask is empty", got="no white pixel", remedy="paint what goes")
    wide = mask
    if margin:
        side = 2 * margin + 1
        wide = F.max_pool2d(mask[None, None].float(), side, 1, margin)[0, 0] > 0
    left = stack.dropped({name: wide[None] for name in stack.layers})
    return left if fill == "none" else filled(left, wide)


def insert(
    stack: LabelStack, scene: Scene, scale: Scale | None = None
) -> tuple[LabelStack, Tensor]:
    """The same labels with the solids of a scene in them, where these are nearer.

    Args:
        stack: A batch of one.
        scene: Its layers with proxies, under its camera; its canvas is that of the labels.
        scale: Of the depth of the labels; None fits it to the ground that both show.

    Returns:
        The labels, and where the solids are seen (H, W) bool.

    Raises:
        SceneError: There are no proxies, or none is seen; or the labels have no depth, or no scale
            can be told.
    """
    proxies = [layer.proxy for layer in scene.layers if layer.proxy is not None]
    if not proxies:
        raise SceneError(
            "there is nothing to insert", got="no layer with a proxy", expected="one or more"
        )
    depth = stack.layers.get("depth")
    if depth is None or not bool(depth.valid.any()):
        raise SceneError(
            "solids are inserted by depth, and the labels have none",
            got=", ".join(stack.layers),
            expected="depth.png",
        )
    _, height, width = stack.shape
    resolver = _resolver()
    found = resolver(scene.camera or Camera(), proxies, width, height)
    scale = scale or fitted_scale(stack, found)
    far, near = scale
    inverse = far + (near - far) * depth.value[0, 0]
    # What has no depth is taken for infinitely far.
    inverse = torch.where(depth.valid[0], inverse, torch.zeros_like(inverse))
    where = torch.zeros(height, width, dtype=torch.bool)
    layers = dict(stack.layers)
    for one in found:
        own = torch.from_numpy(one["depth"].copy()).float()
        seen = (torch.from_numpy(one["mask"].copy()) > 0.5) & (own > inverse)
        inverse, where = torch.where(seen, own, inverse), where | seen
        layers = _overwritten(layers, one, stack, seen)
    if not bool(where.any()):
        raise SceneError(
            "nothing of what was inserted is seen",
            got="the labels are nearer everywhere, or the solids stand outside the picture",
            remedy="move the proxy nearer: smaller z",
        )
    known = depth.valid[0] | where
    layers["depth"] = Layer(stretched(inverse, known)[None, None], known[None])
    return _with_edges(LabelStack(stack.labels, layers), where), where


def stretched(inverse: Tensor, known: Tensor) -> Tensor:
    """Inverse depth (H, W) stretched to [0, 1] over its known pixels."""
    low, high = inverse[known].min(), inverse[known].max()
    return ((inverse - low) / (high - low).clamp_min(1e-8)).clamp(0, 1)


def fitted_scale(stack: LabelStack, found: Sequence[Mapping[str, NDArray[Any]]]) -> Scale:
    """The scale under which the ground of the labels is that of the renderer, by least squares.

    Raises:
        SceneError: Too little ground is seen in both.
    """
    depth, classes = stack.layers["depth"], stack.layers.get("semantics")
    names = stack.labels.named("semantics").classes if classes is not None else ()
    both = torch.zeros(stack.shape[1:], dtype=torch.bool)
    truth = torch.zeros(stack.shape[1:])
    if classes is not None and "ground" in names:
        number = names.index("ground")
        ground = (classes.value[0] == number) & classes.valid[0] & depth.valid[0]
        for one in found:
            bare = torch.from_numpy(one["mask"].copy()) < 0.5
            same = ground & bare & (torch.from_numpy(one["segments"].copy()) == number)
            truth = torch.where(same, torch.from_numpy(one["depth"].copy()).float(), truth)
            both |= same
    if int(both.sum()) < _FEWEST:
        raise SceneError(
            "the scale of the depth cannot be told",
            got=f"{int(both.sum())} pixels of ground that the labels and the camera share",
            expected=f"{_FEWEST} or more",
            remedy="write labels.json with the inverse depths (1 / metre) of 0 and 1",
        )
    x, y = depth.value[0, 0][both].double(), truth[both].double()
    spread = (x - x.mean()).square().sum()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / spread.clamp_min(1e-12)
    start = float(y.mean() - slope * x.mean())
    if not float(slope) > 0:
        raise SceneError(
            "the depth of the labels does not fit the camera",
            got=f"the ground grows farther where depth rises (slope {float(slope):.3g})",
            expected="inverse depth: near is 1",
        )
    return max(start, 0.0), max(start, 0.0) + float(slope)


def _overwritten(
    layers: Mapping[str, Layer],
    one: Mapping[str, NDArray[Any]],
    stack: LabelStack,
    seen: Tensor,
) -> dict[str, Layer]:
    """Every label of a solid where it is seen; labels that it does not know become missing."""
    result = dict(layers)
    for label in stack.labels:
        if label.name in ("depth", "edges"):
            continue
        key = "segments" if label.name == "semantics" else label.name
        old = result.get(label.name) or missing(label, *stack.shape)
        if key not in one:
            result[label.name] = Layer(old.value, old.valid & ~seen)
            continue
        value = torch.from_numpy(one[key].copy())[None]
        if not label.discrete:
            value = value.float().permute(0, 3, 1, 2)
        new = check_layer(label, Layer(value, seen[None]), "a proxy")
        plane = seen if label.discrete else seen[None]
        result[label.name] = Layer(
            torch.where(plane[None], new.value.to(old.value.dtype), old.value),
            old.valid | seen,
        )
    return result


def _with_edges(stack: LabelStack, where: Tensor) -> LabelStack:
    """Edges of clay inside and around what was inserted."""
    if "edges" not in stack.labels.names or "normals" not in stack.layers:
        return stack
    normals = stack.layers["normals"]
    old = stack.layers.get("edges") or missing(stack.labels.named("edges"), *stack.shape)
    wide = F.max_pool2d(where[None, None].float(), 3, 1, 1)[0] > 0
    found = clay_edges(normals.value, normals.valid)
    edges = Layer(torch.where(wide[:, None], found, old.value), old.valid | wide)
    return LabelStack(stack.labels, {**stack.layers, "edges": edges})


def _resolver() -> ProxyResolver:
    for entry in entry_points(group=PROXIES):
        return cast(ProxyResolver, entry.load())
    raise SceneError(
        "there are proxies, but nothing here can render them",
        got="no installed package provides them",
        expected="the package compose-worlds",
        remedy="pip install compose-worlds",
    )
