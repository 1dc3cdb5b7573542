"""How `sd-tiny` was made: the autoencoder first, then denoiser and text encoder on its latents.

The denoiser has two rounds; the published weights ran the second in two processes of one thread
each (``accelerate launch --cpu --num_processes 2``), networks compiled.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from compose_zoo.recipes import autoencoder, denoiser, stages, text

SEED = 1
"""Fixes order, noise and the first weights; scenes are numbers 0 to 40,959."""


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train both stages in `folder` and write the diffusers folder ``folder/export``."""
    scenes = folder.parent / "cache" / "primitives"
    vae = train_autoencoder(folder, scenes, device, resume, steps)
    words = text.tokenizer()
    first = latents_of(folder, scenes, vae.to(device))
    more = latents_of(folder, scenes, vae.to(device), denoiser.MORE, range(0))
    options = {"device": device, "resume": resume, "steps": steps}
    task = denoiser.DenoiserTask(*first, words)
    stages.run(task, denoiser.CONFIG, folder / "denoiser", **options)
    both = [torch.cat(pair) for pair in zip(first, more, strict=True)]
    again = denoiser.DenoiserTask(*both, words, denoiser.EARLY)
    again.start_from(task)
    stages.run(again, denoiser.SECOND, folder / "denoiser-second", **options)
    if stages.first():
        export(folder / "export", vae.cpu(), again.unet, again.text, words)


def train_autoencoder(
    folder: Path, scenes: Path, device: str, resume: bool, steps: int | None
) -> AutoencoderTiny:
    """The first stage."""
    task = autoencoder.AutoencoderTask(scenes)
    options = {"device": device, "resume": resume, "steps": steps}
    stages.run(task, autoencoder.CONFIG, folder / "vae", **options)
    return task.vae


def latents_of(
    folder: Path,
    scenes: Path,
    vae: AutoencoderTiny,
    numbers: range = denoiser.SCENES,
    empty: range = denoiser.EMPTY,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents and tokens of scenes, computed once and kept beside the checkpoints."""
    from safetensors.torch import load_file, save_file

    kept = folder / f"latents-{numbers.start}-{numbers.stop}.safetensors"
    if not kept.exists():
        latents, tokens = denoiser.prepare(scenes, vae, numbers, empty)
        partial = kept.with_suffix(f".{os.getpid()}")
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
