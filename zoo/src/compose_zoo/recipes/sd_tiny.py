"""How `sd-tiny` was made: the autoencoder first, then denoiser and text encoder on its latents."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from compose_zoo.recipes import autoencoder, denoiser, stages, text

SEED = 1
"""Fixes order, noise and the first weights; scenes are numbers 0 to 20,479."""


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train both stages in `folder` and write the diffusers folder ``folder/export``."""
    scenes = folder.parent / "cache" / "primitives"
    vae = train_autoencoder(folder, scenes, device, resume, steps)
    latents, tokens = latents_of(folder, scenes, vae.to(device))
    words = text.tokenizer()
    task = denoiser.DenoiserTask(latents, tokens, words)
    options = {"device": device, "resume": resume, "steps": steps}
    stages.run(task, denoiser.CONFIG, folder / "denoiser", **options)
    export(folder / "export", vae.cpu(), task.unet, task.text, words)


def train_autoencoder(
    folder: Path, scenes: Path, device: str, resume: bool, steps: int | None
) -> AutoencoderTiny:
    """The first stage."""
    task = autoencoder.AutoencoderTask(scenes)
    options = {"device": device, "resume": resume, "steps": steps}
    stages.run(task, autoencoder.CONFIG, folder / "vae", **options)
    return task.vae


def latents_of(
    folder: Path, scenes: Path, vae: AutoencoderTiny
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents and tokens, computed once and kept beside the checkpoints."""
    from safetensors.torch import load_file, save_file

    kept = folder / "latents.safetensors"
    if not kept.exists():
        latents, tokens = denoiser.prepare(scenes, vae)
        partial = kept.with_suffix(".partial")
        save_file({"latents": latents, "tokens": tokens}, partial)
        partial.replace(kept)
    found = load_file(kept)
    return found["latents"], found["tokens"]


def export(
    folder: Path,
    vae: AutoencoderTiny,
    unet: UNet2DConditionModel,
    encoder: CLIPTextModel,
    words: CLIPTokenizer,
) -> None:
    """Write an ordinary diffusers folder in half precision, safetensors only."""
    unet.set_default_attn_processor()
    pipeline = StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=encoder.half(),
        tokenizer=words,
        unet=unet.half(),
        scheduler=denoiser.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    text.compact(folder / "tokenizer")
