"""The blocks of the clone: those of a UNet's encoder, as its config describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2DCrossAttn, get_down_block
from torch import nn

from compose_cnc.model.fdn import LocalResnet
from compose_core.errors import UsageError

__all__ = ["COPIED", "check_blocks", "check_unet", "down_block", "mid_block", "widths", "zero"]

COPIED = (
    "in_channels",
    "down_block_types",
    "block_out_channels",
    "layers_per_block",
    "downsample_padding",
    "mid_block_scale_factor",
    "norm_num_groups",
    "norm_eps",
    "cross_attention_dim",
    "transformer_layers_per_block",
    "attention_head_dim",
    "num_attention_heads",
    "use_linear_projection",
    "only_cross_attention",
    "upcast_attention",
    "flip_sin_to_cos",
    "freq_shift",
)
"""What the clone shares with the config of its UNet."""

_REQUIRED = {
    "act_fn": "silu",
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "resnet_time_scale_shift": "default",
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "conv_in_kernel": 3,
    "center_input_sample": False,
    "dual_cross_attention": False,
    "time_embedding_type": "positional",
    "addition_embed_type": None,
    "class_embed_type": None,
    "num_class_embeds": None,
    "encoder_hid_dim_type": None,
}
"""What a UNet's config must say: the layout of Stable Diffusion 1 and 2."""


def check_unet(found: Mapping[str, Any]) -> None:
    """Refuse a UNet that the clone cannot follow.

    Raises:
        UsageError: Its config says other than the layout of Stable Diffusion 1 and 2.
    """
    wrong = {k: found[k] for k, v in _REQUIRED.items() if k in found and found[k] != v}
    if wrong:
        raise UsageError(
            "the local fuser cannot clone this UNet",
            got=", ".join(f"{name} = {value}" for name, value in wrong.items()),
            expected=", ".join(f"{name} = {_REQUIRED[name]}" for name in wrong),
        )


def check_blocks(down_block_types: tuple[str, ...], feature_channels: tuple[int, ...]) -> None:
    """Refuse blocks of other types, or without a feature for each.

    Raises:
        UsageError: As said.
    """
    known = {"CrossAttnDownBlock2D", "DownBlock2D"}
    if not set(down_block_types) <= known or len(down_block_types) != len(feature_channels):
        raise UsageError(
            "the local fuser cannot be built for these down blocks",
            got=f"{tuple(down_block_types)} with {len(feature_channels)} features",
            expected=f"blocks of {sorted(known)}, and one feature for each",
            remedy="give Sizes with as many feature_channels as the UNet has down blocks",
        )


def widths(config: Mapping[str, Any]) -> list[int]:
    """Channels of every skip connection, in order."""
    blocks: tuple[int, ...] = config["block_out_channels"]
    found = [blocks[0]]
    for i, width in enumerate(blocks):
        found += [width] * (config["layers_per_block"] + (i < len(blocks) - 1))
    return found


def _each(value: Any, i: int) -> Any:
    return value[i] if isinstance(value, (list, tuple)) else value


def down_block(config: Mapping[str, Any], i: int) -> nn.Module:
    """The `i`-th block of a UNet's encoder, its first residual block made to hear depth."""
    channels = config["block_out_channels"]
    before, width = channels[max(i - 1, 0)], channels[i]
    heads = config["num_attention_heads"] or config["attention_head_dim"]
    block = cast(Any, get_down_block)(
        config["down_block_types"][i],
        num_layers=config["layers_per_block"],
        in_channels=before,
        out_channels=width,
        temb_channels=4 * channels[0],
        add_downsample=i < len(channels) - 1,
        resnet_eps=config["norm_eps"],
        resnet_act_fn="silu",
        transformer_layers_per_block=_each(config["transformer_layers_per_block"], i),
        num_attention_heads=_each(heads, i),
        attention_head_dim=_each(config["attention_head_dim"], i) or width,
        resnet_groups=config["norm_num_groups"],
        cross_attention_dim=config["cross_attention_dim"],
        downsample_padding=config["downsample_padding"],
        use_linear_projection=config["use_linear_projection"],
        only_cross_attention=_each(config["only_cross_attention"], i),
        upcast_attention=config["upcast_attention"],
    )
    block.resnets[0] = LocalResnet(
        before,
        width,
        4 * channels[0],
        config["feature_channels"][i],
        config["norm_num_groups"],
        config["norm_eps"],
    )
    return block


def mid_block(config: Mapping[str, Any]) -> nn.Module:
    """The middle block."""
    channels = config["block_out_channels"]
    heads = config["num_attention_heads"] or config["attention_head_dim"]
    return UNetMidBlock2DCrossAttn(
        in_channels=channels[-1],
        temb_channels=4 * channels[0],
        transformer_layers_per_block=_each(config["transformer_layers_per_block"], -1),
        resnet_eps=config["norm_eps"],
        resnet_act_fn="silu",
        resnet_groups=config["norm_num_groups"],
        num_attention_heads=_each(heads, -1),
        output_scale_factor=config["mid_block_scale_factor"],
        cross_attention_dim=config["cross_attention_dim"],
        use_linear_projection=config["use_linear_projection"],
        upcast_attention=config["upcast_attention"],
    )


def zero(width: int) -> nn.Conv2d:
    """A 1x1 convolution of zeros."""
    conv = nn.Conv2d(width, width, 1)
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
