"""What a pipeline needs beside weights: scheduler, tokenizer, index. Nothing is made up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compose_cnc.exemplars import ExemplarEncoder
from compose_cnc.model.tokens import GlobalFuser
from compose_core.errors import UsageError, WeightsError

__all__ = ["copy_base", "write_adapter", "write_index", "write_scheduler"]

_SCHEDULE: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
}
"""Stable Diffusion's noise schedule."""

_LIBRARIES = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "scheduler": ("diffusers", "DDIMScheduler"),
    "safety_checker": None,
    "feature_extractor": None,
    "image_encoder": None,
}


def write_scheduler(folder: Path, betas: Tensor | None) -> dict[str, str]:
    """Write the DDIM scheduler that these betas (1000,) describe, the sampler of the paper.

    Returns:
        What is absent and why: nothing, or the scheduler when there are no betas to check.

    Raises:
        WeightsError: They are of another schedule.
    """
    from diffusers import DDIMScheduler

    if betas is None:
        return {"scheduler": "the checkpoint has no noise schedule to check one against"}
    scheduler = DDIMScheduler(
        **_SCHEDULE, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    usual = scheduler.betas.double()
    if betas.shape != usual.shape or not torch.allclose(betas.double(), usual, rtol=1e-4, atol=0):
        raise WeightsError(
            "the checkpoint was trained on another noise schedule",
            got=f"{tuple(betas.shape)} betas, {betas.min():.4g} to {betas.max():.4g}",
            expected="1000 betas, scaled linear from 0.00085 to 0.012",
        )
    scheduler.save_pretrained(folder / "scheduler")
    return {}


def copy_base(
    folder: Path, base: Path | None, words: int, absent: dict[str, str]
) -> dict[str, str]:
    """Copy the tokenizer of a base model, and its scheduler if there is none yet.

    Args:
        folder: Where to.
        base: A model folder, or `None`.
        words: Size of the vocabulary of the text encoder.
        absent: What is missing so far.

    Returns:
        What is absent and why.

    Raises:
        UsageError: The base has no tokenizer, or one of another vocabulary.
    """
    if base is None:
        return {**absent, "tokenizer": "a checkpoint has no vocabulary and no base was given"}
    place = base / "tokenizer"
    if not place.is_dir():
        raise UsageError(
            "the base has no tokenizer",
            got=base,
            expected=f"a folder {place}",
            remedy="give a Stable Diffusion 1 model in the layout of diffusers",
        )
    found = _vocabulary(place)
    if found != words:
        raise UsageError(
            "the tokenizer of the base does not belong to this text encoder",
            got=f"{found} tokens in {place}",
            expected=f"{words} tokens",
        )
    shutil.copytree(place, folder / "tokenizer")
    if "scheduler" in absent and (base / "scheduler").is_dir():
        shutil.copytree(base / "scheduler", folder / "scheduler")
        return {}
    return absent


def _vocabulary(place: Path) -> int:
    from transformers import CLIPTokenizer

    try:
        read: Any = CLIPTokenizer.from_pretrained
        return len(read(place, local_files_only=True, trust_remote_code=False))
    except Exception as error:  # the library raises nearly anything on damaged files
        raise UsageError(
            "the tokenizer of the base cannot be read",
            got=f"{place}: {type(error).__name__}",
            expected="a CLIP tokenizer",
        ) from error


def write_adapter(folder: Path, fuser: GlobalFuser, exemplars: ExemplarEncoder | None) -> None:
    """Make a folder that holds both fusers one that `load_adapter` reads.

    Args:
        folder: With `local_fuser` and `global_fuser`.
        fuser: The global fuser, for its width.
        exemplars: The picture encoder, to be saved as well.

    Raises:
        WeightsError: The picture encoder has another width.
    """
    from compose_cnc.folder import FORMAT, Adapter, save_adapter

    parts = ["global_fuser", "local_fuser"]
    if exemplars is not None:
        Adapter(global_fuser=fuser, exemplars=exemplars)  # refuses another width
        save_adapter(folder, Adapter(exemplars=exemplars))
        parts.append("image_encoder")
    index = {"format": FORMAT, "base": "", "parts": sorted(parts)}
    (folder / "cnc.json").write_text(json.dumps(index, indent=2) + "\n", "utf-8")


def write_index(folder: Path) -> None:
    """Write `model_index.json` for the parts that are in the folder."""
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline"}
    index["requires_safety_checker"] = False
    for name, kind in sorted(_LIBRARIES.items()):
        there = kind is not None and (folder / name).is_dir()
        index[name] = list(kind) if there and kind is not None else [None, None]
    if (config := folder / "scheduler" / "scheduler_config.json").is_file():
        index["scheduler"] = ["diffusers", json.loads(config.read_text("utf-8"))["_class_name"]]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", "utf-8")
