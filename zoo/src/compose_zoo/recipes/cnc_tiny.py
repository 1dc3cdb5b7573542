"""How `cnc-tiny` was made: Compose and Conquer on the frozen `sd-tiny`, with true backgrounds.

Its three stages (Lee et al. 2024, section 4.1): the local fuser on two depth maps, the global
fuser on two exemplars with soft guidance, then both together.
"""

from __future__ import annotations

from pathlib import Path

from compose_cnc.training import Samples, Stage
from compose_zoo.recipes import cnc_samples, cnc_stages, stages
from compose_zoo.recipes.parts import base_of

SEED = 6


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the adapter ``folder/export``."""
    base = base_of(folder.parent)
    vae = base.vae.to(device)
    pairs = cnc_samples.mixed(folder.parent, folder, vae, "depth")
    # An exemplar of a pair's background is mostly its object: places are learned from scenes.
    scenes = cnc_samples.load(folder.parent, folder, vae, "depth")
    samples: dict[Stage, Samples] = {"local": pairs, "global": scenes, "joint": pairs}
    network = cnc_stages.run(base, samples, folder, device=device, resume=resume, steps=steps)
    if stages.first():
        cnc_stages.export(network, folder.parent, folder / "export")
