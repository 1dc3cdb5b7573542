"""Drawn scenes taken apart: a foreground, and what is really behind it.

Methods that know layers need pictures of what a layer hides; from photographs these are painted
(Compose and Conquer, section 3.2). Here the scene is rendered without its foreground instead, so
background and hidden depth are true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from compose_worlds.primitives import draw
from compose_worlds.primitives.labels import labels
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import Scene, stack

__all__ = ["Apart", "front", "take_apart"]


@dataclass(frozen=True, kw_only=True)
class Apart:
    """B scenes in two layers, H x W pixels.

    Attributes:
        mask: (B, H, W) bool, what is seen of the foreground.
        whole: (B, H, W) inverse depth of the whole scene in 1 / metre, 0 in the sky.
        behind: (B, H, W) the same of the scene without its foreground.
        background: (B, 3, H, W) picture of that scene, in [0, 1].
    """

    mask: Tensor
    whole: Tensor
    behind: Tensor
    background: Tensor


def front(scene: Scene, number: int) -> list[bool]:
    """Which objects of scene `number` are its foreground: some of the nearest, at least one.

    They are its k nearest, k even between one and all: no object behind them can hide them, and
    often others are left for them to hide.
    """
    near = sorted(
        range(len(scene.solids)), key=lambda i: draw.seen(scene.solids[i], scene.setting).depth
    )
    dice = Generator().manual_seed(number)
    count = 1 + int(torch.randint(len(near), (), generator=dice))
    return [i in near[:count] for i in range(len(near))]


def take_apart(
    scenes: Sequence[Scene], chosen: Sequence[Sequence[bool]], size: tuple[int, int] = (64, 64)
) -> Apart:
    """Take scenes apart.

    Args:
        scenes: Each object of them is one solid.
        chosen: For each scene, which of its objects are the foreground.
        size: Width and height.
    """
    world = stack(scenes)
    away = torch.zeros(len(scenes), world.objects, dtype=torch.bool)
    for row, mine in enumerate(chosen):
        away[row, : len(mine)] = torch.tensor(mine)
    seen = labels(world, size)
    at = away[:, :, None, None]
    nothing = torch.full_like(seen.object_depth, torch.inf)
    behind = torch.where(at, nothing, seen.object_depth).amin(1)
    return Apart(
        mask=(seen.visible & at).any(1),
        whole=seen.inverse_depth[:, 0],
        behind=1 / torch.minimum(behind, seen.background_depth[:, 0]),
        background=picture(world.without(away), size),
    )
