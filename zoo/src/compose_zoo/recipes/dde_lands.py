"""Maps and satellite pictures of endless land, as training data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

import torch
from safetensors.torch import load_file, save_file
from torch import LongTensor, Tensor

from compose_worlds.terrain import chart, draw, satellite

PLACES = range(0, 4096)
SIDE = 64
"""Pixels of a cached pair; poses cut what they need out of it."""


@final
class Lands:
    """Pairs by number: `{"x": (B, 3, 64, 64), "map": (B, 3, 64, 64)}`, both in [-1, 1].

    Args:
        folder: Where rendered pairs are kept.
        places: Their numbers.
    """

    def __init__(self, folder: Path, places: range = PLACES) -> None:
        found = load_file(_rendered(folder, places))
        self.pictures, self.maps = found["pictures"], found["maps"]

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.pictures)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Pairs by number."""
        return {
            "x": self.pictures[indices].float() / 127.5 - 1,
            "map": self.maps[indices].float() / 127.5 - 1,
        }


def _rendered(folder: Path, places: range) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{SIDE}-{places.start:08d}-{places.stop:08d}.safetensors"
    if not path.exists():
        pictures: list[Tensor] = []
        maps: list[Tensor] = []
        for number in places:
            seen, weather = draw(number, (SIDE, SIDE))
            pictures.append((satellite(seen, weather) * 255).round().to(torch.uint8))
            maps.append((chart(seen) * 255).round().to(torch.uint8))
        partial = path.with_suffix(f".{os.getpid()}.partial")
        save_file({"pictures": torch.stack(pictures), "maps": torch.stack(maps)}, partial)
        os.replace(partial, path)
    return path
