"""Drawn scenes taken apart: a foreground, and what is really behind it.

Compose and Conquer (section 3.2) paints a background where the salient object was; here it is
rendered, see `compose_worlds.primitives.apart`.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from compose_worlds.primitives import cache, draw
from compose_worlds.primitives.apart import front, take_apart

_CHUNK = 32


def make(numbers: range, size: tuple[int, int] = (64, 64)) -> dict[str, Tensor]:
    """Take scenes apart.

    Returns:
        ``depth_fg`` (B, H, W) float16, inverse depth of what is seen of the foreground in
        1 / metre, 0 elsewhere; ``depth_bg`` the same of the scene without it; ``background``
        (B, 3, H, W) uint8, a picture of that.
    """
    parts: list[dict[str, Tensor]] = []
    for start in range(numbers.start, numbers.stop, _CHUNK):
        some = range(start, min(start + _CHUNK, numbers.stop))
        scenes = [draw.scene(i)[0] for i in some]
        chosen = [front(scene, i) for i, scene in zip(some, scenes, strict=True)]
        found = take_apart(scenes, chosen, size)
        parts.append(
            {
                "depth_fg": torch.where(found.mask, found.whole, 0.0).half(),
                "depth_bg": found.behind.half(),
                "background": (found.background * 255).round().to(torch.uint8),
            }
        )
    return {k: torch.cat([p[k] for p in parts]).contiguous() for k in parts[0]}


def load(
    folder: Path, numbers: range, names: tuple[str, ...], size: tuple[int, int] = (64, 64)
) -> dict[str, Tensor]:
    """Read what `make` says of a range of scenes, making what is missing.

    Args:
        folder: Of the files; each holds `cache.SHARD` scenes.
        numbers: Of the scenes.
        names: What to read.
        size: Width and height.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[dict[str, Tensor]] = []
    for start in range(numbers.start, numbers.stop, cache.SHARD):
        stop = min(start + cache.SHARD, numbers.stop)
        path = folder / f"{size[0]}x{size[1]}-{start:08d}-{stop:08d}.safetensors"
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}.partial")
            save_file(make(range(start, stop), size), partial)
            os.replace(partial, path)
        found = load_file(path)
        parts.append({name: found[name] for name in names})
    return {name: torch.cat([p[name] for p in parts]) for name in names}
