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

from compose_zoo.recipes import guide

SEED = 14
CONFIG = replace(guide.CONFIG, seed=SEED)
SLOTS = 4
"""Objects that a scene can hold."""
COLORS = torch.tensor(
    [(1.0, 0.2, 0.0), (1.0, 0.2, 0.0), (0.0, 0.7, 1.0), (0.2, 1.0, 0.0)], dtype=torch.float32
)
"""RGB of the lines to the left, to the right, up and down; a mirrored drawing is the drawing of
the mirrored scene, so left and right are alike."""
LINE, DOT = 0.6, 1.3
"""Half the width of a line and the radius of a centre, in pixels at 64 x 64."""


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


def drawn(points: Tensor, size: tuple[int, int] = (64, 64)) -> Tensor:
    """Keypoints as lines and dots on black.

    Args:
        points: (B, N, 5, 2), see `keypoints`.
        size: width, height in pixels.

    Returns:
        (B, 3, H, W) in [0, 1], with soft edges; where lines meet, the brighter channel is seen.
    """
    scale = torch.tensor(size, device=points.device, dtype=points.dtype)
    unit = size[1] / 64
    grid = torch.meshgrid(
        *(torch.arange(n, device=points.device) + 0.5 for n in size[::-1]), indexing="ij"
    )
    pixel = torch.stack(grid[::-1], -1).to(points)
    at = (points * scale)[..., None, None, :]
    centre, ends = at[:, :, :1], at[:, :, 1:]
    along = ends - centre
    share = ((pixel - centre) * along).sum(-1) / along.square().sum(-1).clamp_min(1e-6)
    gap = (pixel - centre - share.clamp(0, 1)[..., None] * along).norm(dim=-1)
    lines = (LINE * unit + 0.5 - gap).clamp(0, 1).nan_to_num(0.0)
    near = (pixel - centre[:, :, 0]).norm(dim=-1)
    dots = (DOT * unit + 0.5 - near).clamp(0, 1).nan_to_num(0.0)
    paint = COLORS.to(points)[:, :, None, None]
    seen = (lines[:, :, :, None] * paint).amax((1, 2))
    return torch.maximum(seen, dots.amax(1)[:, None])


def condition(instance: Tensor) -> Tensor:
    """Drawn keypoints (B, 3, H, W) in [0, 1] of the objects of (B, H, W) uint8."""
    height, width = instance.shape[-2:]
    return drawn(keypoints(instance), (width, height))


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the ControlNet's diffusers folder ``folder/export``."""
    guide.train(folder, "instance", condition, CONFIG, device=device, resume=resume, steps=steps)
