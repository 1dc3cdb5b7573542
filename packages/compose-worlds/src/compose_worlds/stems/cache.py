"""Songs on disk, as 16-bit stems: rendered once, read by training in any stretch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from compose_worlds.stems.render import Player
from compose_worlds.stems.song import draw

SHARD = 128
HELD_OUT = 10_000_000
"""Songs from this number on are never trained on."""

SCALE = 32_767
"""What full scale is in 16 bits."""

_NAME = "stems"


def start_of(number: int, rate: int) -> int:
    """The sample of song ``number`` at which its stretch begins: anywhere in its first minute."""
    generator = torch.Generator().manual_seed(number)
    return int(torch.randint(60 * rate, (), generator=generator))


def stretch(number: int, rate: int, frames: int) -> Tensor:
    """A stretch (4, frames) float32 of song ``number``."""
    song = draw(number, frames / rate + 62)
    return Player(song, rate).play(start_of(number, rate), frames)


def sixteen_bits(samples: Tensor) -> Tensor:
    """Samples as int16, beyond full scale clipped."""
    return (samples.clamp(-1, 1) * SCALE).round().to(torch.int16)


def shards(folder: Path, numbers: range, rate: int, frames: int) -> Iterator[Path]:
    """Render the missing shards of a range of songs and yield every shard's file in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(numbers.start, numbers.stop, SHARD):
        stop = min(start + SHARD, numbers.stop)
        path = folder / f"{rate}x{frames}-{start:08d}-{stop:08d}.safetensors"
        if not path.exists():
            songs = [sixteen_bits(stretch(i, rate, frames)) for i in range(start, stop)]
            partial = path.with_suffix(f".{os.getpid()}.partial")
            save_file({_NAME: torch.stack(songs)}, partial)
            os.replace(partial, path)
        yield path


def load(folder: Path, numbers: range, rate: int, frames: int) -> Tensor:
    """Stems (N, 4, frames) int16 of a range of songs, rendering what is missing."""
    parts: list[Tensor] = []
    for path in shards(folder, numbers, rate, frames):
        with safe_open(path, "pt") as file:
            parts.append(file.get_tensor(_NAME))
    return torch.cat(parts)
