"""What later recipes need of `sd-tiny`: a fresh export beside them, else the published one."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline


def folder_of(runs: Path) -> Path:
    """Its diffusers folder."""
    fresh = runs / "sd-tiny" / "export"
    if (fresh / "model_index.json").exists():
        return fresh
    from compose_core.zoo import resolve

    return resolve("sd-tiny")


def base_of(runs: Path) -> StableDiffusionPipeline:
    """The whole of `sd-tiny` in single precision; `runs` is the folder that holds its run."""
    # The files are in half precision; training on them needs the full one.
    return StableDiffusionPipeline.from_pretrained(
        folder_of(runs), use_safetensors=True, safety_checker=None
    ).to(dtype=torch.float32)


def autoencoder_of(runs: Path) -> AutoencoderTiny:
    """The autoencoder of `sd-tiny` in single precision."""
    return AutoencoderTiny.from_pretrained(
        folder_of(runs), subfolder="vae", use_safetensors=True
    ).float()
