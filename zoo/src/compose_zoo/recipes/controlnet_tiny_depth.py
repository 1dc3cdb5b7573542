"""How `controlnet-tiny-depth` was made: a ControlNet for depth maps on the frozen `sd-tiny`."""

from __future__ import annotations

from pathlib import Path

from compose_zoo.recipes import guide

SEED = 5


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the ControlNet's diffusers folder ``folder/export``."""
    guide.train(folder, "depth", guide.condition, device=device, resume=resume, steps=steps)
