"""How `controlnet-tiny-keypoints` was made: a ControlNet for drawn keypoints on `sd-tiny`.

Figures have joints, but no figure stands in the scenes that `sd-tiny` knows. The keypoints are
therefore those of solids: the centre of what is seen of an object and its outermost points left,
right, above and below, joined to the centre by lines as the limbs of a skeleton are. They tell
where an object is, how large and how it leans, not what it is: that is left to the caption.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from compose_core.controls import Limb, Skeleton, Style, write_style
from compose_zoo.recipes import guide, stages

SEED = 14
CONFIG = replace(guide.CONFIG, seed=SEED)
SLOTS = 4
"""Objects that a scene can hold."""
_ACROSS, _UP, _DOWN = (255, 51, 0), (0, 179, 255), (51, 255, 0)
SKELETON = Skeleton(
    points={
        "centre": (255, 255, 255),
        "left": _ACROSS,
        "right": _ACROSS,
        "top": _UP,
        "bottom": _DOWN,
    },
    limbs=(
        Limb("centre", "left", _ACROSS),
        Limb("centre", "right", _ACROSS),
        Limb("centre", "top", _UP),
        Limb("centre", "bottom", _DOWN),
    ),
    line=0.6 / 64,
    dot=1.3 / 64,
)
"""A mirrored drawing is the drawing of the mirrored scene, so left and right are alike."""


def keypoints(instance: Tensor) -> Tensor:
    """Where the objects' keypoints are.

    Args:
        instance: (B, H, W) uint8, number of the object seen, 255 for none.

    Returns:
        (B, SLOTS, 5, 2) as x, y in fractions of the picture: centre, left, right, top, bottom;
        NaN for an object that is not seen. A point that several pixels share is their mean.
    """
    height, width = instance.shape[-2:]
    numbers = torch.arange(SLOTS, device=instance.device)[:, None, None]
    mask = (instance[:, None] == numbers).float()
    x = (torch.arange(width, device=instance.device) + 0.5) / width
    y = (torch.arange(height, device=instance.device)[:, None] + 0.5) / height
    far = torch.full_like(mask, torch.inf)

    def mean(chosen: Tensor) -> Tensor:
        count = chosen.sum((-1, -2))
        return torch.stack([(chosen * way).sum((-1, -2)) / count for way in (x, y)], -1)

    points = [mean(mask)]
    for way in (x, -x, y, -y):
        reach = torch.where(mask > 0, way.expand_as(mask), far)
        points.append(mean(mask * (reach == reach.amin((-1, -2), keepdim=True))))
    return torch.stack(points, 2)


def condition(instance: Tensor) -> Tensor:
    """Drawn keypoints (B, 3, H, W) in [0, 1] of the objects of (B, H, W) uint8."""
    height, width = instance.shape[-2:]
    return SKELETON.draw(keypoints(instance), (height, width))


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the ControlNet's diffusers folder ``folder/export``."""
    guide.train(folder, "instance", condition, CONFIG, device=device, resume=resume, steps=steps)
    if stages.first():
        write_style(Style("keypoints", skeleton=SKELETON), folder / "export")
