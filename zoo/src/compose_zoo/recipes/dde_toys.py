"""Pictures of toys at known positions, as training data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

import torch
from safetensors.torch import load_file, save_file
from torch import LongTensor, Tensor

from compose_worlds.positions import draw, picture, stack
from compose_worlds.positions.pixels import SIZE

SCENES = range(0, 16_384)
_CHUNK = 256

__all__ = ["SCENES", "SIZE", "Toys"]


@final
class Toys:
    """Scenes by number: `{"x": (B, 3, 32, 32) in [-1, 1], "positions": (B, 6, 2)}`.

    Args:
        folder: Where rendered pictures are kept.
        scenes: Their numbers.
        least: Scenes with fewer toys are passed over.
    """

    def __init__(self, folder: Path, scenes: range = SCENES, least: int = 1) -> None:
        found = load_file(_rendered(folder, scenes))
        enough = (found["positions"][..., 0] >= 0).sum(1) >= least
        self.pictures, self.positions = found["pictures"][enough], found["positions"][enough]

    def __len__(self) -> int:
        """How many scenes."""
        return len(self.pictures)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Scenes by number."""
        x = self.pictures[indices].float() / 127.5 - 1
        return {"x": x, "positions": self.positions[indices]}


def _rendered(folder: Path, scenes: range) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{SIZE}-{scenes.start:08d}-{scenes.stop:08d}.safetensors"
    if not path.exists():
        pictures: list[Tensor] = []
        positions: list[Tensor] = []
        for start in range(scenes.start, scenes.stop, _CHUNK):
            toys = stack([draw(i) for i in range(start, min(start + _CHUNK, scenes.stop))])
            pictures.append((picture(toys) * 255).round().to(torch.uint8))
            positions.append(toys.positions)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        save_file({"pictures": torch.cat(pictures), "positions": torch.cat(positions)}, partial)
        os.replace(partial, path)
    return path
