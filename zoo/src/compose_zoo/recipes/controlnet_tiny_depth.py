"""How `controlnet-tiny-depth` was made: a ControlNet for depth maps on the frozen `sd-tiny`."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers.models.attention_processor import AttnProcessor

from compose_worlds.primitives import cache
from compose_zoo.recipes import guide, stages
from compose_zoo.recipes.parts import base_of
from compose_zoo.recipes.sd_tiny import latents_of

SEED = 5


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the ControlNet's diffusers folder ``folder/export``."""
    scenes = folder.parent / "cache" / "primitives"
    base = base_of(folder.parent)
    latents, tokens = latents_of(folder.parent / "sd-tiny", scenes, base.vae.to(device))
    half, captions = len(latents) // 2, len(tokens) // 2
    use = guide.SCENES.stop
    pick = use * (captions // half)
    latents = torch.cat([latents[:use], latents[half : half + use]])
    tokens = torch.cat([tokens[:pick], tokens[captions : captions + pick]])
    depth = cache.load(scenes, guide.SCENES, ("depth",))["depth"]
    empty = torch.tensor(base.tokenizer("", padding="max_length").input_ids)
    base.unet.set_attn_processor(AttnProcessor())
    task = guide.GuideTask(latents, tokens, depth, base.unet, base.text_encoder, empty)
    task.control.set_attn_processor(AttnProcessor())
    stages.run(task, guide.CONFIG, folder / "guide", device=device, resume=resume, steps=steps)
    task.control.set_default_attn_processor()
    task.control.half().save_pretrained(folder / "export", safe_serialization=True)
