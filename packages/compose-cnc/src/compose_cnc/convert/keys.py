"""Names of tensors: those of the published checkpoint, and those of diffusers.

The checkpoint is named as in latent diffusion. Each part of the model has a table of modules,
official name to ours, both complete paths; a tensor is a module and one of `weight` and `bias`.
Tables are built for a depth (levels, layers, where attention is), never for a width, and every
name in a table occurs once, so they can be read in both directions. A table may list modules that
a given checkpoint does not have, such as the shortcut of a residual block that keeps its width:
which tensors there must be is known from the networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from compose_cnc.model.sizes import SD15

__all__ = [
    "BUFFERS",
    "PARTS",
    "Depth",
    "from_official",
    "modules",
    "renamed",
    "to_official",
]

PARTS: dict[str, str] = {
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text_encoder": "cond_stage_model.transformer.",
    "local_fuser": "local_adapter.",
    "global_fuser": "global_adapter.",
}
"""Each part and what its official names begin with."""

BUFFERS: dict[str, str] = {
    "betas": "noise schedule",
    "alphas_cumprod": "noise schedule",
    "alphas_cumprod_prev": "noise schedule",
    "sqrt_alphas_cumprod": "noise schedule",
    "sqrt_one_minus_alphas_cumprod": "noise schedule",
    "log_one_minus_alphas_cumprod": "noise schedule",
    "sqrt_recip_alphas_cumprod": "noise schedule",
    "sqrt_recipm1_alphas_cumprod": "noise schedule",
    "posterior_variance": "noise schedule",
    "posterior_log_variance_clipped": "noise schedule",
    "posterior_mean_coef1": "noise schedule",
    "posterior_mean_coef2": "noise schedule",
    "lvlb_weights": "weights of a loss that is not used",
    "logvar": "weights of a loss that is not used",
    "cond_stage_model.transformer.text_model.embeddings.position_ids": "0, 1, 2, ...",
}
"""Official names that are no weights, and what they are; they may be absent and are not kept.
Nothing else may be left over."""

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_LOCAL_RESNET = {
    "norm_in.conv_gamma": "norm_in.gamma",
    "norm_in.conv_beta": "norm_in.beta",
    "norm_out.conv_gamma": "norm_out.gamma",
    "norm_out.conv_beta": "norm_out.beta",
    **{key: name for key, name in _RESNET.items() if not name.startswith("norm")},
}
_BLOCK = (
    *(
        f"{attn}.{to}"
        for attn in ("attn1", "attn2")
        for to in ("to_q", "to_k", "to_v", "to_out.0")
    ),
    *("ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3"),
)
_TRANSFORMER = {
    name: name
    for name in ("norm", "proj_in", *(f"transformer_blocks.0.{x}" for x in _BLOCK), "proj_out")
}
_TIME = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2"}
_OUT = {"out.0": "conv_norm_out", "out.2": "conv_out"}

_VAE_RESNET = {x: x for x in ("norm1", "conv1", "norm2", "conv2")} | {
    "nin_shortcut": "conv_shortcut"
}
_VAE_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}

_TEXT_LAYER = (
    *(f"self_attn.{x}" for x in ("q_proj", "k_proj", "v_proj", "out_proj")),
    *("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"),
)

_POINTWISE = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")
"""Of the autoencoder: 1x1 convolutions there (C, C, 1, 1), linear maps here (C, C)."""


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How many blocks the parts have; the defaults are Stable Diffusion 1.5.

    Attributes:
        attention: For each resolution of the UNet, the finest first: whether it has attention.
        layers: Residual blocks of each resolution on the way down.
        vae_levels: Resolutions of the autoencoder.
        vae_layers: Residual blocks of each on the way down.
        text_layers: Layers of the text encoder.
    """

    attention: tuple[bool, ...] = (True, True, True, False)
    layers: int = 2
    vae_levels: int = 4
    vae_layers: int = 2
    text_layers: int = 12


def modules(part: str, depth: Depth | None = None) -> dict[str, str]:
    """Official module names of a part, without its prefix, and ours."""
    depth = Depth() if depth is None else depth
    if part == "unet":
        return {**_encoder(depth), **_decoder(depth), **_OUT}
    if part == "local_fuser":
        return {**_encoder(depth, _LOCAL_RESNET), **_zeros(depth), **_streams(depth)}
    if part == "vae":
        return _vae(depth)
    return _global() if part == "global_fuser" else _text(depth)


def _under(old: str, new: str, table: Mapping[str, str]) -> dict[str, str]:
    return {f"{old}.{key}": f"{new}.{name}" for key, name in table.items()}


def _encoder(depth: Depth, first: Mapping[str, str] = _RESNET) -> dict[str, str]:
    """Time embedding, the way down and the middle; `first` is the first block of each level."""
    found = {**_TIME, "input_blocks.0.0": "conv_in"}
    number = 1
    for i, attention in enumerate(depth.attention):
        for j in range(depth.layers):
            table = _RESNET if j else first
            found |= _under(f"input_blocks.{number}.0", f"down_blocks.{i}.resnets.{j}", table)
            if attention:
                ours = f"down_blocks.{i}.attentions.{j}"
                found |= _under(f"input_blocks.{number}.1", ours, _TRANSFORMER)
            number += 1
        if i < len(depth.attention) - 1:
            found[f"input_blocks.{number}.0.op"] = f"down_blocks.{i}.downsamplers.0.conv"
            number += 1
    found |= _under("middle_block.0", "mid_block.resnets.0", _RESNET)
    found |= _under("middle_block.1", "mid_block.attentions.0", _TRANSFORMER)
    return found | _under("middle_block.2", "mid_block.resnets.1", _RESNET)


def _decoder(depth: Depth) -> dict[str, str]:
    found: dict[str, str] = {}
    for i, attention in enumerate(reversed(depth.attention)):
        for j in range(depth.layers + 1):
            official = f"output_blocks.{i * (depth.layers + 1) + j}"
            found |= _under(f"{official}.0", f"up_blocks.{i}.resnets.{j}", _RESNET)
            if attention:
                found |= _under(f"{official}.1", f"up_blocks.{i}.attentions.{j}", _TRANSFORMER)
            if j == depth.layers and i < len(depth.attention) - 1:
                ours = f"up_blocks.{i}.upsamplers.0.conv"
                found[f"{official}.{1 + attention}.conv"] = ours
    return found


def _zeros(depth: Depth) -> dict[str, str]:
    levels = len(depth.attention)
    count = levels * (depth.layers + 1)  # conv_in, and all levels but the last go down once
    found = {f"zero_convs.{i}.0": f"controlnet_down_blocks.{i}" for i in range(count)}
    return found | {"middle_block_out.0": "controlnet_mid_block"}


def _streams(depth: Depth) -> dict[str, str]:
    found: dict[str, str] = {}
    for stream in ("fg", "bg"):
        for i in range(0, 2 * len(SD15.stream_channels), 2):  # a SiLU has the odd numbers
            found[f"feature_extractor.{stream}_extractor.{i}"] = f"streams.{stream}.{i}"
    for i in range(len(depth.attention)):
        found[f"feature_extractor.extractors.{i}.0"] = f"streams.levels.{i}.0"
        found[f"feature_extractor.zero_convs.{i}"] = f"streams.zero.{i}"
    return found


def _global() -> dict[str, str]:
    return {
        f"{kind}{i}_{stream}{inner}": f"{stream}.{kind}{i}{inner}"
        for stream in ("fg", "bg")
        for i in (1, 2)
        for kind, inner in (("norm", ""), ("ff", ".net.0.proj"), ("ff", ".net.2"))
    }


def _vae(depth: Depth) -> dict[str, str]:
    found = {name: name for name in ("quant_conv", "post_quant_conv")}
    last = depth.vae_levels - 1
    for side in ("encoder", "decoder"):
        ways = {"conv_in": "conv_in", "norm_out": "conv_norm_out", "conv_out": "conv_out"}
        found |= _under(side, side, ways)
        for block in (1, 2):
            ours = f"{side}.mid_block.resnets.{block - 1}"
            found |= _under(f"{side}.mid.block_{block}", ours, _VAE_RESNET)
        ours = f"{side}.mid_block.attentions.0"
        found |= _under(f"{side}.mid.attn_1", ours, _VAE_ATTENTION)
    for i in range(depth.vae_levels):
        down, up = f"encoder.down_blocks.{i}", f"decoder.up_blocks.{last - i}"
        for j in range(depth.vae_layers):
            found |= _under(f"encoder.down.{i}.block.{j}", f"{down}.resnets.{j}", _VAE_RESNET)
        for j in range(depth.vae_layers + 1):
            found |= _under(f"decoder.up.{i}.block.{j}", f"{up}.resnets.{j}", _VAE_RESNET)
        if i < last:
            found[f"encoder.down.{i}.downsample.conv"] = f"{down}.downsamplers.0.conv"
        if i > 0:
            found[f"decoder.up.{i}.upsample.conv"] = f"{up}.upsamplers.0.conv"
    return found


def _text(depth: Depth) -> dict[str, str]:
    """The same names on both sides, those of transformers."""
    names = [f"embeddings.{x}_embedding" for x in ("token", "position")]
    names += [f"encoder.layers.{i}.{x}" for i in range(depth.text_layers) for x in _TEXT_LAYER]
    return {f"text_model.{x}": f"text_model.{x}" for x in (*names, "final_layer_norm")}


def renamed(tensor: str, table: Mapping[str, str]) -> str | None:
    """Name of a tensor on the other side of a table of modules; `None` where it has none."""
    module, _, leaf = tensor.rpartition(".")
    return f"{table[module]}.{leaf}" if module in table and leaf in ("weight", "bias") else None


def from_official(
    tensors: Mapping[str, Tensor], depth: Depth | None = None
) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    """Tensors of the official checkpoint by part, in our names and shapes.

    Returns:
        The parts, and every official name that has no place: neither a weight nor one of
        `BUFFERS`.
    """
    tables = {part: modules(part, depth) for part in PARTS}
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    unknown: list[str] = []
    for key, tensor in tensors.items():
        if key in BUFFERS:
            continue
        part = _part(key)
        own = renamed(key.removeprefix(PARTS[part]), tables[part]) if part else None
        if part is None or own is None:
            unknown.append(key)
            continue
        parts[part][own] = _reshaped(part, own, tensor, official=False)
    return parts, unknown


def to_official(
    parts: Mapping[str, Mapping[str, Tensor]], depth: Depth | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """The inverse of `from_official`; buffers do not come back."""
    found: dict[str, Tensor] = {}
    unknown: list[str] = []
    for part, tensors in parts.items():
        table = {name: key for key, name in modules(part, depth).items()}
        for own, tensor in tensors.items():
            key = renamed(own, table)
            if key is None:
                unknown.append(f"{part}: {own}")
            else:
                found[PARTS[part] + key] = _reshaped(part, own, tensor, official=True)
    return found, unknown


def _part(key: str) -> str | None:
    return next((part for part, prefix in PARTS.items() if key.startswith(prefix)), None)


def _reshaped(part: str, own: str, tensor: Tensor, *, official: bool) -> Tensor:
    if part != "vae" or not own.endswith(_POINTWISE):
        return tensor
    if official:
        return tensor[:, :, None, None]
    return tensor.flatten(1) if tensor.shape[2:] == torch.Size((1, 1)) else tensor
