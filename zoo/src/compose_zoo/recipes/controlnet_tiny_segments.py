"""How `controlnet-tiny-segments` was made: a ControlNet for segmentations on `sd-tiny`.

A segmentation shows the class of every pixel in a colour of `PALETTE`; objects of one class are
not told apart, and a map does not say which colour an object has.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from compose_worlds.primitives.world import SEMANTICS
from compose_zoo.recipes import guide

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


def condition(semantics: Tensor) -> Tensor:
    """Classes (B, H, W), numbers in `SEMANTICS`, as a segmentation (B, 3, H, W) in [0, 1]."""
    colors = torch.tensor([PALETTE[name] for name in SEMANTICS], device=semantics.device) / 255
    return colors[semantics.long()].movedim(-1, 1).contiguous()


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the ControlNet's diffusers folder ``folder/export``."""
    guide.train(folder, "semantics", condition, CONFIG, device=device, resume=resume, steps=steps)
