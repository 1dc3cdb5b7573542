"""A cache of drawn scenes on disk: pictures and labels in shards, made once, read many times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from compose_worlds.primitives import draw
from compose_worlds.primitives.labels import labels, relative_depth
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import COLORS, stack

SHARD = 1024
HELD_OUT = 10_000_000
"""Scenes from this number on are never trained on."""
_CHUNK = 32


def make(numbers: range, size: tuple[int, int] = (64, 64)) -> dict[str, Tensor]:
    """Render scenes by number.

    Returns:
        ``picture`` (B, 3, H, W) uint8; ``semantics``, ``instance`` and ``color`` (B, H, W) uint8
        (255 is no object); ``depth`` (B, H, W) float16, inverse depth in 1 / metre;
        ``normals`` (B, 3, H, W) int8, times 127.
    """
    parts: list[dict[str, Tensor]] = []
    for start in range(numbers.start, numbers.stop, _CHUNK):
        scenes = [draw.scene(i)[0] for i in range(start, min(start + _CHUNK, numbers.stop))]
        world = stack(scenes)
        seen = labels(world, size)
        colors = [[list(COLORS).index(str(o.color)) for o in s.solids] for s in scenes]
        width = max(len(c) for c in colors)
        table = torch.tensor([c + [255] * (width - len(c)) for c in colors])
        index = seen.instance.clamp_min(0).flatten(1)
        color = table.gather(1, index).view_as(seen.instance)
        none = torch.full_like(color, 255)
        parts.append(
            {
                "picture": (picture(world, size) * 255).round().to(torch.uint8),
                "semantics": seen.semantics.to(torch.uint8),
                "instance": torch.where(seen.instance < 0, none, seen.instance).to(torch.uint8),
                "color": torch.where(seen.instance < 0, none, color).to(torch.uint8),
                "depth": seen.inverse_depth[:, 0].half(),
                "normals": (seen.normals * 127).round().to(torch.int8),
            }
        )
    return {k: torch.cat([p[k] for p in parts]).contiguous() for k in parts[0]}


def shards(folder: Path, numbers: range, size: tuple[int, int] = (64, 64)) -> Iterator[Path]:
    """Make the missing shards of a range of scenes and yield every shard's file in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(numbers.start, numbers.stop, SHARD):
        stop = min(start + SHARD, numbers.stop)
        path = folder / f"{size[0]}x{size[1]}-{start:08d}-{stop:08d}.safetensors"
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}.partial")
            save_file(make(range(start, stop), size), partial)
            os.replace(partial, path)
        yield path


def load(
    folder: Path, numbers: range, names: tuple[str, ...], size: tuple[int, int] = (64, 64)
) -> dict[str, Tensor]:
    """Read some labels of a range of scenes, rendering what is missing."""
    parts = [{n: load_file(p)[n] for n in names} for p in shards(folder, numbers, size)]
    return {n: torch.cat([p[n] for p in parts]) for n in names}


__all__ = ["HELD_OUT", "SHARD", "load", "make", "relative_depth", "shards"]
