"""How `controlnet-tiny-segments` was made: a ControlNet for segmentations on `sd-tiny`.

A segmentation shows the class of every pixel in a colour of `PALETTE`; objects of one class are
not told apart, and a map does not say which colour an object has. In every second map only the
objects are shown and the rest is black, as when somebody says where objects go and no more.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from compose_core.controls import Palette, Style, write_style
from compose_worlds.primitives.world import SEMANTICS
from compose_zoo.recipes import guide, stages

SEED = 13
CONFIG = replace(guide.CONFIG, seed=SEED)
PALETTE: dict[str, tuple[int, int, int]] = {
    "sky": (0, 0, 255),
    "ground": (128, 128, 0),
    "wall": (128, 128, 128),
    "sphere": (255, 0, 0),
    "cube": (0, 255, 0),
    "cylinder": (255, 0, 255),
    "cone": (0, 255, 255),
    "torus": (255, 255, 0),
    "capsule": (255, 255, 255),
}
"""The colour of each class of `SEMANTICS`, as RGB in [0, 255]."""


OBJECTS = SEMANTICS.index("wall") + 1
"""The first class of an object."""


def condition(semantics: Tensor) -> Tensor:
    """Maps as in training: all of it, or the objects alone.

    Args:
        semantics: (B, H, W), numbers in `SEMANTICS`.

    Returns:
        (B, 3, H, W) in [0, 1]. Where the objects have an odd number of pixels, a coin that is the
        same for a mirrored scene, nothing else is shown.
    """
    object_ = semantics >= OBJECTS
    bare = object_.sum((1, 2), keepdim=True) % 2 == 1
    return segmentation(semantics) * (object_ | ~bare)[:, None]


def segmentation(semantics: Tensor) -> Tensor:
    """Classes (B, H, W), numbers in `SEMANTICS`, in their colours (B, 3, H, W) in [0, 1]."""
    colors = torch.tensor([PALETTE[name] for name in SEMANTICS], device=semantics.device) / 255
    return colors[semantics.long()].movedim(-1, 1).contiguous()


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the ControlNet's diffusers folder ``folder/export``."""
    guide.train(folder, "semantics", condition, CONFIG, device=device, resume=resume, steps=steps)
    if stages.first():
        write_style(Style("segments", palette=Palette(PALETTE)), folder / "export")
