"""Draw the pictures that `examples/lava-and-snow.toml` names.

Usage: ``python scripts/lava_and_snow.py [FOLDER]``

The exemplars are pictures of the primitives world, the only one that the embedded models know:
something as red as lava, and a field of snow with something white on it. The depth is that of a
block on the ground, under the camera of the scene.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from compose_core.images import check_depth
from compose_core.scene import Camera, Proxy
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import Scene, Setting, stack, toy
from compose_worlds.proxies import resolve

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIDE = 64
BLOCK = Proxy(shape="cube", position=(0.35, 0.65, 3.7), size=0.65, rotation=25.0)
LOOKS = {
    "lava": Scene(
        solids=(toy("sphere", "red", 0.0, 3.2, size=0.8),), setting=Setting(environment="sand")
    ),
    "snow": Scene(
        solids=(toy("cube", "white", 0.3, 3.8, size=0.8, yaw=25.0),),
        setting=Setting(environment="snow"),
    ),
}


def main(folder: Path = EXAMPLES) -> None:
    """Write `lava.png`, `snow.png` and `block-depth.png`."""
    for name, scene in LOOKS.items():
        drawn = picture(stack([scene]), (SIDE, SIDE))[0].clamp(0, 1)
        pixels = (drawn * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
        Image.fromarray(pixels.numpy()).save(folder / f"{name}.png", optimize=True)
    depth = check_depth(resolve(Camera(), [BLOCK], SIDE, SIDE)[0]["depth"])
    levels = np.round(depth * 65535).astype(np.uint16)
    Image.fromarray(levels).save(folder / "block-depth.png", optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
