"""How `spade-naive-tiny` was made; see `compose_zoo.recipes.painters`."""

from __future__ import annotations

from pathlib import Path

from compose_zoo.recipes import painters

SEED = painters.SEED


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the painter's folder ``folder/export``."""
    painters.train("spade-naive-tiny", folder, device, resume, steps)
