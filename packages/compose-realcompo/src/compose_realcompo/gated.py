"""Gated layers as a small file beside the model that they were trained on.

A published GLIGEN model is a whole folder in which only the gated layers are new. Here they may
also lie alone, as `gligen.json` and `gligen.safetensors`, and be added to their base model, with
whose weights they then share memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from compose_core.backbones import Model
from compose_core.errors import WeightsError
from compose_realcompo.grounding import LIMIT, GatedUNet

__all__ = [
    "FORMAT",
    "INDEX",
    "add_gates",
    "base_named",
    "gated_unet",
    "hearing_boxes",
    "new_tensors",
]

FORMAT = 1
INDEX = "gligen.json"
_WEIGHTS = "gligen.safetensors"


def gated_unet(unet: nn.Module) -> UNet2DConditionModel:
    """A UNet with gated layers, whose other weights are those of `unet`, shared with it.

    The gated layers are left without values; see `add_gates`.
    """
    config = {**cast(Any, unet).config, "attention_type": "gated"}
    with torch.device("meta"):
        made = cast(Any, UNet2DConditionModel).from_config(config)
    made.load_state_dict(unet.state_dict(), strict=False, assign=True)
    return made.eval()


def new_tensors(unet: nn.Module) -> dict[str, Tensor]:
    """What gated layers add to a UNet: the tensors of its gates and of its position network."""
    state = unet.state_dict()
    return {
        name: value
        for name, value in state.items()
        if name.startswith("position_net.") or ".fuser." in name
    }


def add_gates(model: Model, folder: Path, *, on: float = 1.0, fade: float = 0.0) -> Model:
    """The model, hearing boxes through the gated layers of a folder.

    Args:
        model: The one that they were trained on.
        folder: With `gligen.json` and `gligen.safetensors`.
        on: When boxes are heard, as `fade`: see `GatedUNet`.
        fade: Likewise.

    Raises:
        WeightsError: They are missing, damaged, or belong to another model.
    """
    index = _read(folder / INDEX)
    if index.get("format") != FORMAT or index.get("attention_type") != "gated":
        raise WeightsError(
            f"{folder} cannot be read", got=index, expected=f"format {FORMAT}, gated attention"
        )
    try:
        tensors = load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"the gated layers in {folder} cannot be read",
            got=error,
            expected=f"a readable {_WEIGHTS}",
        ) from error
    base = cast(nn.Module, model.components["unet"])
    weight = next(base.parameters())
    unet = gated_unet(base)
    wanted = {name: tuple(value.shape) for name, value in new_tensors(unet).items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted != found:
        wrong = sorted(n for n in {*wanted, *found} if wanted.get(n) != found.get(n))
        raise WeightsError(
            "these gated layers were made for another model",
            got=f"{len(wrong)} tensors that differ, such as {wrong[0]}: {found.get(wrong[0])}",
            expected=f"{wanted.get(wrong[0])}",
            remedy=f"load them with {index.get('base') or 'the model that they were trained on'}",
        )
    moved = {name: value.to(weight) for name, value in tensors.items()}
    unet.load_state_dict(moved, strict=False, assign=True)
    empty = [name for name, value in unet.state_dict().items() if value.is_meta]
    if empty:
        raise WeightsError(
            "the base of the gated layers is not here",
            got=f"{len(empty)} tensors without values, such as {empty[0]}",
            expected="a model whose weights are in memory, under their usual names",
            remedy="do not offload its UNet, and fuse or unload what was added to it",
        )
    room = index.get("room", LIMIT)
    if not isinstance(room, int) or not 1 <= room <= LIMIT:
        raise WeightsError(
            f"{folder} cannot be read", got=f"room = {room}", expected=f"1 to {LIMIT}"
        )
    return _with_unet(model, unet.eval().requires_grad_(False), on, fade, room)


def base_named(folder: Path) -> str:
    """The id of the model that gated layers were trained on; "" if they do not say.

    Raises:
        WeightsError: The folder holds none.
    """
    return str(_read(folder / INDEX).get("base", ""))


def hearing_boxes(model: Model, *, on: float = 1.0, fade: float = 0.0) -> Model:
    """A loaded model whose UNet has gated layers, as a network that hears boxes.

    Raises:
        WeightsError: It has none.
    """
    return _with_unet(model, cast(nn.Module, model.components["unet"]), on, fade)


def _with_unet(model: Model, unet: nn.Module, on: float, fade: float, room: int = LIMIT) -> Model:
    kind = cast(Any, model.network).prediction_type
    network = GatedUNet(
        unet, model.schedule, kind, on=on, fade=fade, room=room, factor=model.codec.factor
    ).eval()
    parts: Mapping[str, Any] = {**model.components, "unet": unet}
    return replace(model, network=network, components=parts)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path.parent} holds no gated layers", got=error, expected=f"a readable {path.name}"
        ) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is damaged", got=type(found).__name__, expected="an object")
    return cast("dict[str, Any]", found)
