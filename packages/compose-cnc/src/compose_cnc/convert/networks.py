"""The networks that a set of weights belongs to, read off the shapes of the weights.

They are built without storage (device "meta"): what they are asked for is their configuration,
and which tensors of which shapes they consist of. What no shape tells is as in Stable Diffusion 1:
eight heads in each attention of the UNet, heads of 64 channels in the text encoder, norms over 32
groups, and the strides of the depth streams.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import torch
from torch import Tensor

from compose_cnc.convert.keys import Depth
from compose_cnc.model.sizes import SD15
from compose_core.errors import WeightsError

__all__ = ["build", "depth_of", "shapes"]

_HEADS, _TEXT_HEAD = 8, 64

Parts = Mapping[str, Mapping[str, Tensor]]


def depth_of(names: list[str]) -> Depth:
    """How many blocks there are, from official names of all parts.

    Raises:
        WeightsError: The names do not describe a network of this family.
    """
    unet = "model.diffusion_model.input_blocks."
    blocks, downs = _numbers(names, unet), _numbers(names, unet, r"\.0\.op\.")
    levels = downs + 1
    if blocks % levels or blocks <= levels:
        _fail(f"{blocks} input blocks of which {downs} go down")
    layers = blocks // levels - 1
    known = set(names)
    return Depth(
        attention=tuple(
            f"{unet}{1 + i * (layers + 1)}.1.norm.weight" in known for i in range(levels)
        ),
        layers=layers,
        vae_levels=_numbers(names, "first_stage_model.encoder.down."),
        vae_layers=_numbers(names, "first_stage_model.encoder.down.0.block."),
        text_layers=_numbers(names, "cond_stage_model.transformer.text_model.encoder.layers."),
    )


def _numbers(names: list[str], prefix: str, then: str = r"\.") -> int:
    """How many different numbers follow a prefix."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)" + then)
    return len({found[1] for name in names if (found := pattern.match(name))})


def _fail(got: str) -> NoReturn:
    raise WeightsError(
        "this is not a checkpoint of Compose and Conquer",
        got=got,
        expected="the layout of Stable Diffusion 1 with a local and a global adapter",
    )


def build(parts: Parts, depth: Depth) -> dict[str, Any]:
    """The networks by part, without storage, of the sizes of these tensors (our names).

    Raises:
        WeightsError: A tensor that tells a size is missing, or sizes that are impossible.
    """
    makers = {
        "unet": _unet,
        "vae": _vae,
        "text_encoder": _text,
        "local_fuser": _local,
        "global_fuser": _global,
    }
    found: dict[str, Any] = {}
    with torch.device("meta"):
        for part, make in makers.items():
            try:
                found[part] = make(parts, depth)
            except (ValueError, TypeError, RuntimeError, ZeroDivisionError, IndexError) as error:
                _fail(f"sizes of the {part} that cannot be: {str(error).splitlines()[0]}")
    return found


def shapes(network: Any) -> dict[str, torch.Size]:
    """Names and shapes of a network's tensors; a text encoder's names begin `text_model.`."""
    names = {name: tensor.shape for name, tensor in network.state_dict().items()}
    if type(network).__name__ == "CLIPTextModel":
        names = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in names.items()}
    return names


def _size(parts: Parts, part: str, name: str, axis: int = 0) -> int:
    tensor = parts[part].get(name)
    if tensor is None or tensor.dim() <= axis:
        _fail(f"the {part} has no usable {name}")
    return tensor.shape[axis]


def _widths(parts: Parts, depth: Depth) -> tuple[int, ...]:
    """Of the UNet, and so of its clone: a clone of another width is one of another model."""
    levels = range(len(depth.attention))
    return tuple(_size(parts, "unet", f"down_blocks.{i}.resnets.0.conv1.weight") for i in levels)


def _context(parts: Parts) -> int:
    name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    return _size(parts, "unet", name, 1)


def _blocks(side: str, attention: tuple[bool, ...]) -> tuple[str, ...]:
    return tuple(f"CrossAttn{side}Block2D" if x else f"{side}Block2D" for x in attention)


def _unet(parts: Parts, depth: Depth) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=64,
        in_channels=_size(parts, "unet", "conv_in.weight", 1),
        out_channels=_size(parts, "unet", "conv_out.weight"),
        down_block_types=_blocks("Down", depth.attention),
        up_block_types=_blocks("Up", depth.attention[::-1]),
        block_out_channels=_widths(parts, depth),
        layers_per_block=depth.layers,
        cross_attention_dim=_context(parts),
        attention_head_dim=_HEADS,  # in this class: the number of heads
    )


def _vae(parts: Parts, depth: Depth) -> Any:
    from diffusers import AutoencoderKL

    names = (f"encoder.down_blocks.{i}.resnets.0.conv1.weight" for i in range(depth.vae_levels))
    widths = tuple(_size(parts, "vae", name) for name in names)
    return cast(Any, AutoencoderKL)(  # whose annotations allow one block only
        in_channels=_size(parts, "vae", "encoder.conv_in.weight", 1),
        out_channels=_size(parts, "vae", "decoder.conv_out.weight"),
        down_block_types=("DownEncoderBlock2D",) * depth.vae_levels,
        up_block_types=("UpDecoderBlock2D",) * depth.vae_levels,
        block_out_channels=widths,
        layers_per_block=depth.vae_layers,
        latent_channels=_size(parts, "vae", "post_quant_conv.weight"),
        sample_size=512,
        scaling_factor=0.18215,
    )


def _text(parts: Parts, depth: Depth) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    tokens = "text_model.embeddings.token_embedding.weight"
    words, width = (_size(parts, "text_encoder", tokens, i) for i in (0, 1))
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=_size(
            parts, "text_encoder", "text_model.encoder.layers.0.mlp.fc1.weight"
        ),
        projection_dim=width,
        num_hidden_layers=depth.text_layers,
        num_attention_heads=max(1, width // _TEXT_HEAD),
        max_position_embeddings=_size(
            parts, "text_encoder", "text_model.embeddings.position_embedding.weight"
        ),
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )
    config.architectures = ["CLIPTextModel"]
    return CLIPTextModel(config)


def _local(parts: Parts, depth: Depth) -> Any:
    from compose_cnc.model.local import LocalFuser

    layers = range(0, 2 * len(SD15.stream_channels), 2)
    levels = range(len(depth.attention))
    return LocalFuser(
        stream_channels=tuple(
            _size(parts, "local_fuser", f"streams.fg.{i}.weight") for i in layers
        ),
        stream_strides=SD15.stream_strides,
        feature_channels=tuple(
            _size(parts, "local_fuser", f"streams.zero.{i}.weight") for i in levels
        ),
        in_channels=_size(parts, "unet", "conv_in.weight", 1),
        down_block_types=_blocks("Down", depth.attention),
        block_out_channels=_widths(parts, depth),
        layers_per_block=depth.layers,
        cross_attention_dim=_context(parts),
        attention_head_dim=_HEADS,
    )


def _global(parts: Parts, depth: Depth) -> Any:
    from compose_cnc.model.tokens import GlobalFuser

    width = _context(parts)
    out = _size(parts, "global_fuser", "fg.ff2.net.2.weight")
    return GlobalFuser(
        embedding_dim=_size(parts, "global_fuser", "fg.norm1.weight"),
        width=width,
        tokens=out // width,
    )
