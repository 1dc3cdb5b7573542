"""How `cnc-tiny-canny` was made: the local fuser of `cnc-tiny` with Canny's edges for depth."""

from __future__ import annotations

from pathlib import Path

from compose_zoo.recipes import cnc_samples, cnc_stages, stages
from compose_zoo.recipes.parts import base_of

SEED = 6


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the adapter ``folder/export``, which has no exemplars."""
    base = base_of(folder.parent)
    samples = cnc_samples.mixed(folder.parent, folder, base.vae.to(device), "edges")
    network = cnc_stages.run(
        base, samples, folder, ("local",), device=device, resume=resume, steps=steps
    )
    if stages.first():
        cnc_stages.export(network, folder.parent, folder / "export")
