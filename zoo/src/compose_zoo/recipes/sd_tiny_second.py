"""How `sd-tiny-second` was made: `sd-tiny` goes on with scenes that it has not seen.

It is a second model of the same worlds, words and latents with other errors, for methods that
compose the predictions of several.
"""

from __future__ import annotations

from pathlib import Path

from compose_zoo.recipes import tuned
from compose_zoo.recipes.parts import base_of
from compose_zoo.recipes.sd_tiny import latents_of

SEED = 16
SCENES = range(40_960, 47_104)
"""Those after the ones of `sd-tiny`."""


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the changes of `sd-tiny` to ``folder/export``."""
    scenes = folder.parent / "cache" / "primitives"
    base = base_of(folder.parent)
    folder.mkdir(parents=True, exist_ok=True)
    latents, tokens = latents_of(folder, scenes, base.vae.to(device), SCENES, range(0))
    task = tuned.TunedTask(latents, tokens, base)
    options = {"device": device, "resume": resume, "steps": steps}
    tuned.train(task, folder, seed=SEED, **options)
