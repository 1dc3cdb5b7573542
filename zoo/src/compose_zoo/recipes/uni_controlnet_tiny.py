"""How `uni-controlnet-tiny` was made: one depth map and one exemplar of the whole picture.

Uni-ControlNet (Zhao et al. 2023) of the parts of `cnc-tiny`: a clone of the encoder that hears one
map through feature denormalisation, and tokens that are heard everywhere. Background stream and
tokens are zeros. Stages are those of `cnc-tiny`, also the joint one, which the original has not;
samples are drawn scenes alone, without the pairs in both orders that `cnc-tiny` also saw, of which
one map can only show one.

To use it, give the map as ``depth_fg``, tokens of the stream ``"fg"``, no ``region``, and
``soft_guidance="off"``.
"""

from __future__ import annotations

from pathlib import Path

from compose_zoo.recipes import cnc_samples, cnc_stages, stages
from compose_zoo.recipes.parts import base_of

SEED = 6


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the adapter ``folder/export``."""
    base = base_of(folder.parent)
    samples = cnc_samples.load(folder.parent, folder, base.vae.to(device), "merged")
    network = cnc_stages.run(
        base,
        samples,
        folder,
        soft_guidance="off",
        one_stream=True,
        device=device,
        resume=resume,
        steps=steps,
    )
    if stages.first():
        cnc_stages.export(network, folder.parent, folder / "export")
