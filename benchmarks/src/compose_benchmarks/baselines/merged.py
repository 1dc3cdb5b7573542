"""What a scene says of depth and looks, in one map and one picture: all that baselines hear."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from compose_core.conditions import Depth, Exemplar
from compose_core.errors import UsageError
from compose_core.images import Array
from compose_core.scene import Scene

__all__ = ["Merge", "check_merge", "one_exemplar", "one_map"]

Merge = Literal["nearest", "pasted"]
"""How several maps become one.

`"nearest"`: each pixel shows the nearest surface, as a depth estimator would see them together;
whether that is the layer with the larger z is up to the values of the maps. `"pasted"`: a layer of
larger z covers what is behind it, whatever the values, so the outline at least is in order.
"""


def check_merge(merge: str) -> None:
    """Refuse a way of merging that there is not.

    Raises:
        UsageError: There is no such way.
    """
    if merge not in get_args(Merge):
        raise UsageError(
            "unknown way to merge depth", got=merge, expected=" or ".join(get_args(Merge))
        )


def one_map(scene: Scene, merge: Merge = "nearest") -> Tensor | None:
    """The depth of all layers in one map (1, 3, H, W) in [0, 1], near is 1; None without depth.

    The farthest layer with depth fills the picture, the others end where their regions do. Values
    are taken as the files give them, each stretched to [0, 1].
    """
    found = scene.conditions()
    deep = [
        (layer.name, condition.values)
        for layer in scene.ordered
        for condition in found[layer.name]
        if isinstance(condition, Depth)
    ]
    if not deep:
        return None
    areas = scene.regions(scene.height, scene.width)
    together = torch.tensor(deep[0][1])
    for name, values in deep[1:]:
        area, own = torch.tensor(areas[name]), torch.tensor(values)
        if merge == "pasted":
            together = together * (1 - area) + own * area
        else:
            together = torch.maximum(together, own * area)
    return together.expand(1, 3, -1, -1).contiguous()


def one_exemplar(scene: Scene) -> Array | None:
    """The exemplar of the nearest layer that has one, (H, W, 3) in [0, 1]; None without any."""
    found = scene.conditions()
    for layer in reversed(scene.ordered):
        for condition in found[layer.name]:
            if isinstance(condition, Exemplar):
                return condition.values
    return None
