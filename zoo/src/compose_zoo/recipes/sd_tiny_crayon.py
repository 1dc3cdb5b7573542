"""How `sd-tiny-crayon` was made: `sd-tiny` goes on with crayon drawings of the same worlds.

Every picture that it makes is a drawing; captions do not speak of it. Words and autoencoder are
those of `sd-tiny`, so that both models speak of the same latents; the autoencoder has never seen
a drawing and softens its outlines.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file
from torch import Tensor

from compose_worlds.primitives import cache
from compose_worlds.primitives.crayon import crayon
from compose_zoo.recipes import tuned
from compose_zoo.recipes.denoiser import encode, sentences
from compose_zoo.recipes.parts import base_of

SEED = 15
SCENES = range(0, 6_144)


def drawings(scenes: Path, numbers: range) -> Tensor:
    """Crayon drawings of scenes by number, (N, 3, 64, 64) uint8; drawn afresh at every call."""
    parts: list[Tensor] = []
    for start in range(numbers.start, numbers.stop, cache.SHARD):
        some = range(start, min(start + cache.SHARD, numbers.stop))
        seen = cache.load(scenes, some, ("picture", "instance", "semantics", "normals"))
        shown = seen["picture"].float() / 255
        made = crayon(shown, seen["instance"], seen["semantics"], seen["normals"], some)
        parts.append((made * 255).round().to(torch.uint8))
    return torch.cat(parts)


def drawn_latents(folder: Path, scenes: Path, vae: AutoencoderTiny, numbers: range) -> Tensor:
    """Latents (2 N, 4, 16, 16) of drawings, then of mirrored ones; computed once."""
    kept = folder / f"latents-{numbers.start}-{numbers.stop}.safetensors"
    if not kept.exists():
        made = drawings(scenes, numbers)
        latents = torch.cat([encode(vae, made), encode(vae, made.flip(-1))])
        folder.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        save_file({"latents": latents}, partial)
        partial.replace(kept)
    return load_file(kept)["latents"]


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the changes of `sd-tiny` to ``folder/export``."""
    scenes = folder.parent / "cache" / "primitives"
    base = base_of(folder.parent)
    vae = base.vae.to(device)
    latents = drawn_latents(folder, scenes, vae, SCENES)
    said = base.tokenizer(
        sentences(SCENES), padding="max_length", truncation=True, return_tensors="pt"
    )
    task = tuned.TunedTask(latents, said.input_ids, base)
    options = {"device": device, "resume": resume, "steps": steps}
    tuned.train(task, folder, seed=SEED, **options)
