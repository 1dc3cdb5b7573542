"""From the layers of a scene to the two depth maps that the local fuser sees.

Depth alone cannot say what lies behind what: a map has one value in each pixel. So the nearest
layers make one map, the foreground, cut out by their regions, and all others a second one that
goes on behind them (paper, section 3.2). The networks know two maps only; layers that share one
are merged by nearest depth, which nothing was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from compose_cnc.model import Stream
from compose_core.images import Array
from compose_core.scene import Layer, Scene

__all__ = ["Streams", "bounded", "foreground", "inverted", "sides", "stretched", "take_streams"]

_DARKER = 0.05
"""How much darker than its surroundings a near thing may be without a remark."""

_GROUND = 0.1
"""How much darker than the top of a picture its bottom may be without a remark."""


@dataclass(frozen=True, kw_only=True)
class Streams:
    """What a scene says of depth.

    Attributes:
        fg: Depth of the foreground (1, 3, H, W) in [0, 1], near is 1; None when there is none.
        bg: Depth of what lies behind it, likewise.
        strength: The factor on what the clone adds (1, 1, H, W); None when it is 1 everywhere.
        remarks: What a user should know, each a sentence.
    """

    fg: Tensor | None = None
    bg: Tensor | None = None
    strength: Tensor | None = None
    remarks: tuple[str, ...] = ()


def bounded(layer: Layer) -> bool:
    """Whether a layer says where it is; others have the whole canvas."""
    return any(part is not None for part in (layer.mask, layer.box, layer.proxy))


def sides(scene: Scene, deep: Sequence[str]) -> dict[str, Stream]:
    """The stream of each layer.

    Of the layers with depth, those of the largest z are the foreground; where all have the same,
    the last of the file alone. One with depth alone is the background if a nearer layer stands
    before it or if it has the whole canvas. Of the layers without depth, only the farthest can be
    the background, if it has the whole canvas.

    Args:
        scene: The scene.
        deep: Names of the layers that have depth.
    """
    ordered = scene.ordered
    found: dict[str, Stream] = {layer.name: "fg" for layer in ordered}
    if ordered and not bounded(ordered[0]):
        found[ordered[0].name] = "bg"
    known = [layer for layer in ordered if layer.name in deep]
    if len(known) == 1:
        behind = known[0].name != ordered[-1].name or not bounded(known[0])
        found[known[0].name] = "bg" if behind else "fg"
    elif known:
        nearest = [layer for layer in known if layer.z == known[-1].z]
        nearest = nearest if len(nearest) < len(known) else known[-1:]
        found |= {x.name: "fg" if x in nearest else "bg" for x in known}
    return found


def take_streams(
    scene: Scene,
    depths: Mapping[str, Array],
    areas: Mapping[str, Array],
    *,
    cut: bool = True,
) -> Streams:
    """The two maps of a scene.

    Args:
        scene: The scene.
        depths: Of its layers that have one, (H, W) in [0, 1], near is 1.
        areas: The regions of all layers (H, W) in [0, 1], hidden parts included.
        cut: Whether the foreground's depth is 0 outside its regions, as in training.
    """
    if not depths:
        return Streams()
    side = sides(scene, list(depths))
    remarks: list[str] = []
    maps: dict[Stream, Tensor | None] = {}
    for stream in ("fg", "bg"):
        members = [x for x in scene.ordered if x.name in depths and side[x.name] == stream]
        made = [_map(x, depths, areas, cut and stream == "fg", remarks) for x in members]
        maps[stream] = _stack(made)
        if len(members) > 1:
            names = ", ".join(repr(x.name) for x in members)
            remarks.append(
                f"experimental: the depths of layers {names} are merged by the nearest in each "
                "pixel, because the network knows one foreground and one background"
            )
        if not members:
            missing = "the foreground" if stream == "fg" else "what lies behind it"
            remarks.append(
                f"no layer gives depth of {missing}: zeros are used, which leave it open"
            )
    for layer in scene.ordered:
        if layer.depth is not None and layer.name in depths:
            area = areas[layer.name] if bounded(layer) else None
            if reason := inverted(depths[layer.name], area):
                remarks.append(
                    f"the depth of layer {layer.name!r} seems to be inverted: {reason}; near must "
                    "be bright"
                )
    strength = _strength([x for x in scene.ordered if x.name in depths], areas)
    return Streams(fg=maps["fg"], bg=maps["bg"], strength=strength, remarks=tuple(remarks))


def foreground(depth: Tensor, area: Tensor) -> Tensor:
    """Depth (..., H, W) of what is inside a region in [0, 1], stretched anew."""
    return stretched(depth * area)


def stretched(depth: Tensor) -> Tensor:
    """Depth (..., H, W) stretched to [0, 1]; a constant map stays as it is."""
    low, high = depth.amin((-2, -1), keepdim=True), depth.amax((-2, -1), keepdim=True)
    spread = high - low
    return torch.where(spread > 0, (depth - low) / spread.clamp_min(1e-12), depth)


def inverted(depth: Array, area: Array | None = None) -> str:
    """Why a depth map seems to be bright where it is far; empty when it does not.

    With a region: what is inside should not be darker than the rim around it. Without: the bottom
    of a picture, where the ground is, should not be darker than its top. Both are guesses.

    Args:
        depth: (H, W) in [0, 1].
        area: The region of what it shows, likewise.
    """
    values = torch.tensor(np.asarray(depth, np.float32))
    inside = None if area is None else torch.tensor(np.asarray(area)) > 0.5
    if inside is not None and bool(inside.any()) and not bool(inside.all()):
        reach = max(min(values.shape) // 16, 1)
        grown = F.max_pool2d(inside[None, None].float(), 2 * reach + 1, 1, reach)[0, 0] > 0
        mine, around = float(values[inside].mean()), float(values[grown & ~inside].mean())
        if mine < around - _DARKER:
            return f"inside its region it is darker ({mine:.2f}) than around it ({around:.2f})"
        return ""
    rows = max(values.shape[0] // 4, 1)
    top, bottom = float(values[:rows].mean()), float(values[-rows:].mean())
    if bottom < top - _GROUND:
        return f"the bottom of the picture ({bottom:.2f}) is darker than its top ({top:.2f})"
    return ""


def _map(
    layer: Layer,
    depths: Mapping[str, Array],
    areas: Mapping[str, Array],
    cut: bool,
    remarks: list[str],
) -> Tensor:
    depth = torch.tensor(np.asarray(depths[layer.name], np.float32))
    if not cut:
        return depth
    kept = depth * torch.tensor(np.asarray(areas[layer.name], np.float32))
    if not bool((kept > 0).any()):
        remarks.append(f"the depth of layer {layer.name!r} is 0 everywhere in its own region")
    return kept


def _stack(maps: list[Tensor]) -> Tensor | None:
    if not maps:
        return None
    nearest = stretched(torch.stack(maps).amax(0))
    return nearest.expand(1, 3, -1, -1).contiguous()


def _strength(layers: Sequence[Layer], areas: Mapping[str, Array]) -> Tensor | None:
    """Weights laid over one another, nearer ones on top; 1 where no layer has depth."""
    if all(layer.weight == 1 for layer in layers):
        return None
    found = torch.ones_like(torch.tensor(areas[layers[0].name]))
    for layer in layers:
        area = torch.tensor(areas[layer.name])
        found = found * (1 - area) + layer.weight * area
    return found[None, None]
