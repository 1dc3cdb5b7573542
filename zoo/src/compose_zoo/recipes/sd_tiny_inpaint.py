"""How `sd-tiny-inpaint` was made: `sd-tiny` that also sees what is around a hole.

The layout of Stable Diffusion's inpainting models: nine input channels, the noisy latents, the
hole, and the latents of the picture with grey in the hole. Most samples have holes anywhere; in
the others the hole is where objects were, and the answer is the scene without them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from diffusers import (
    AutoencoderTiny,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import Tensor

from compose_cnc.data.triplet import PROMPT
from compose_worlds.primitives import cache, captions, draw
from compose_zoo.recipes import cnc_samples, cnc_scenes, guide, stages, text
from compose_zoo.recipes.denoiser import encode
from compose_zoo.recipes.parts import base_of
from compose_zoo.recipes.sd_tiny_inpaint_task import Holes, InpaintTask

SEED = 10
CONFIG = replace(guide.CONFIG, lr=5e-4, seed=SEED)


def build(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The denoiser with five more input channels that it does not listen to yet."""
    with torch.random.fork_rng(devices=[]):
        made = cast(
            UNet2DConditionModel, UNet2DConditionModel.from_config(unet.config, in_channels=9)
        )
    state = dict(unet.state_dict())
    first = state["conv_in.weight"]
    state["conv_in.weight"] = torch.cat([first, first.new_zeros(len(first), 5, 3, 3)], 1)
    made.load_state_dict(state)
    return made


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the diffusers folder ``folder/export``."""
    base = base_of(folder.parent)
    data = _holes(folder.parent, folder, base)
    task = InpaintTask(data, build(base.unet), base.text_encoder, base.vae, base.tokenizer)
    task.unet.set_attn_processor(AttnProcessor())
    stages.run(task, CONFIG, folder / "inpaint", device=device, resume=resume, steps=steps)
    if stages.first():
        export(folder / "export", task.unet, base)


def export(folder: Path, unet: UNet2DConditionModel, base: StableDiffusionPipeline) -> None:
    """Write an ordinary diffusers folder in half precision, safetensors only."""
    unet.set_default_attn_processor()
    pipeline = StableDiffusionInpaintPipeline(
        vae=base.vae.half(),
        text_encoder=base.text_encoder.half(),
        tokenizer=base.tokenizer,
        unet=unet.half(),
        scheduler=base.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    text.compact(folder / "tokenizer")


def _holes(runs: Path, folder: Path, base: StableDiffusionPipeline) -> Holes:
    scenes = cnc_samples.SCENES
    seen = cnc_samples.load(runs, folder, base.vae, "map", scenes)
    behind = cnc_scenes.load(runs / "cache" / "triplets", scenes, ("depth_fg", "background"))
    whole = cache.load(runs / "cache" / "primitives", scenes, ("picture",))["picture"]
    emptied = _latents(folder, base.vae, behind["background"])
    said = base.tokenizer(
        sentences(scenes), padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    mask = behind["depth_fg"] > 0
    return Holes(whole, mask, seen.latents, seen.tokens, emptied, said)


def sentences(scenes: range) -> list[str]:
    """What is said of each scene where its objects are taken away.

    A third each: that the place is empty, nothing, and what `compose cnc triplets` says.
    """
    made: list[str] = []
    for number in scenes:
        place = draw.scene(number)[0].setting.environment
        dice = torch.Generator().manual_seed(number)
        made.append((captions.scenery(place, dice).text, "", PROMPT)[number % 3])
    return made


def _latents(folder: Path, vae: AutoencoderTiny, pictures: Tensor) -> Tensor:
    """Of pictures (N, 3, H, W) as they are and mirrored, kept on disk: (2 N, 4, h, w)."""
    kept = folder / f"backgrounds-{len(pictures)}.safetensors"
    if not kept.exists():
        found = torch.cat([encode(vae, pictures), encode(vae, pictures.flip(-1))])
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        save_file({"latents": found}, partial)
        partial.replace(kept)
    return load_file(kept)["latents"]
