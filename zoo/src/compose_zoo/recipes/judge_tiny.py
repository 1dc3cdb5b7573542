"""How `judge-tiny` was made: dense readings of rendered scenes, clean and blurred by `sd-tiny`."""

from __future__ import annotations

from pathlib import Path

from compose_zoo.recipes import eye, stages
from compose_zoo.recipes.parts import autoencoder_of

SEED = 3


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write ``folder/export``."""
    vae = autoencoder_of(folder.parent).to(device)
    task = eye.EyeTask(folder.parent / "cache" / "primitives", vae)
    stages.run(task, eye.CONFIG, folder / "judge", device=device, resume=resume, steps=steps)
    task.network.save(folder / "export")
