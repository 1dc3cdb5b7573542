"""How `gligen-tiny` was made: grounded generation (GLIGEN) on the frozen `sd-tiny`."""

from __future__ import annotations

from pathlib import Path

from compose_zoo.recipes import cnc_samples, denoiser, gligen, gligen_layouts, stages
from compose_zoo.recipes.parts import base_of

SEED = gligen.SEED
SCENES = denoiser.SCENES


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write ``gligen.json`` and ``gligen.safetensors`` in its ``export``."""
    scenes = folder.parent / "cache" / "primitives"
    base = base_of(folder.parent)
    samples = cnc_samples.load(folder.parent, folder, base.vae.to(device), "map", SCENES)
    layouts = gligen_layouts.load(scenes, SCENES)
    task = gligen.GroundedTask(samples.latents, samples.tokens, layouts, base)
    stages.run(task, gligen.CONFIG, folder / "gated", device=device, resume=resume, steps=steps)
    if stages.first():
        gligen.export(task.unet, folder / "export")
