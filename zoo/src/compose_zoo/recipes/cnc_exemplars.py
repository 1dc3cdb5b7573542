"""The picture tower of `clip-tiny` in the class that Compose and Conquer's adapters hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from compose_cnc.exemplars import ExemplarEncoder, Preprocess

_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_REST = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}


def folder_of(runs: Path) -> Path:
    """A fresh `clip-tiny` in `runs`, else the published one."""
    fresh = runs / "clip-tiny" / "export"
    if (fresh / "open_clip_config.json").exists():
        return fresh
    from compose_core.zoo import resolve

    return resolve("clip-tiny")


def encoder(folder: Path) -> ExemplarEncoder:
    """The tower of an open_clip folder (`clip-tiny`), in single precision, strictly.

    Its embeddings are those of `encode_image` without normalisation.
    """
    settings = json.loads((folder / "open_clip_config.json").read_text("utf-8"))
    seen = settings["model_cfg"]["vision_cfg"]
    config = CLIPVisionConfig(
        hidden_size=seen["width"],
        intermediate_size=int(seen["width"] * seen["mlp_ratio"]),
        projection_dim=settings["model_cfg"]["embed_dim"],
        num_hidden_layers=seen["layers"],
        num_attention_heads=seen["width"] // seen["head_width"],
        image_size=seen["image_size"],
        patch_size=seen["patch_size"],
        hidden_act="gelu",
    )
    with torch.random.fork_rng(devices=[]):
        tower = CLIPVisionModelWithProjection(config)
    given = load_file(folder / "open_clip_model.safetensors")
    visual = {
        k.removeprefix("visual."): v.float() for k, v in given.items() if k.startswith("visual.")
    }
    tower.load_state_dict(_renamed(visual), strict=True)
    how: dict[str, Any] = settings["preprocess_cfg"]
    size = how["size"]
    mean, std = (tuple(float(x) for x in how[name]) for name in ("mean", "std"))
    return ExemplarEncoder(tower, Preprocess(size, size, mean, std))  # type: ignore[arg-type]


def _renamed(visual: dict[str, Tensor]) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for name, value in visual.items():
        if name == "proj":
            made["visual_projection.weight"] = value.T.contiguous()
        elif name.startswith("transformer.resblocks."):
            _, _, number, rest = name.split(".", 3)
            made |= _block(f"vision_model.encoder.layers.{number}.", rest, value)
        else:
            made[f"vision_model.{_REST[name]}"] = value
    return made


def _block(prefix: str, name: str, value: Tensor) -> dict[str, Tensor]:
    if name.startswith("attn.in_proj_"):
        part = name.removeprefix("attn.in_proj_")
        thirds = zip("qkv", value.chunk(3), strict=True)
        return {f"{prefix}self_attn.{x}_proj.{part}": y.contiguous() for x, y in thirds}
    layer, _, part = name.rpartition(".")
    return {f"{prefix}{_BLOCK[layer]}.{part}": value}


@torch.no_grad()
def embed(made: ExemplarEncoder, pictures: Tensor, batch: int = 256) -> Tensor:
    """Embeddings (2 N, E) of uint8 pictures (N, 3, H, W): as they are, then mirrored."""
    both = [*pictures.split(batch), *(x.flip(-1) for x in pictures.split(batch))]
    device = next(made.parameters()).device
    return torch.cat([made.encode(x.to(device).float() / 127.5 - 1).cpu() for x in both])
