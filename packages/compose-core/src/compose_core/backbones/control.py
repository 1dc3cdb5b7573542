"""A ControlNet beside a model that is loaded already."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from compose_core.backbones.load import Model, assemble, load_controlnet
from compose_core.controls import Style, read_style
from compose_core.errors import WeightsError

__all__ = ["Controlled", "add_controlnet"]


class Controlled(NamedTuple):
    """A model with a ControlNet.

    Attributes:
        model: Its network reads `"control"`; all other parts are those of the model given.
        style: How the pictures that it follows are drawn, if its folder says so.
    """

    model: Model
    style: Style | None


def add_controlnet(
    model: Model, folder: str | os.PathLike[str], device: torch.device | str
) -> Controlled:
    """Load a ControlNet for a model.

    Args:
        model: The model, which stays as it is.
        folder: With the ControlNet's config and safetensors, and maybe `control.json`.
        device: Where the ControlNet goes.

    Raises:
        WeightsError: It is missing, damaged, or was made for another model.
    """
    unet = cast(nn.Module, model.components["unet"])
    dtype = next(unet.parameters()).dtype
    control: Any = load_controlnet(Path(folder), dtype).to(device).requires_grad_(False)
    for key in ("in_channels", "cross_attention_dim", "block_out_channels"):
        found, wanted = control.config[key], cast(Any, unet).config[key]
        if _plain(found) != _plain(wanted):
            raise WeightsError(
                "the ControlNet was made for another model",
                got=f"{key} = {found}",
                expected=f"{key} = {wanted}",
            )
    made = assemble({**model.components, "controlnet": control}, id=model.id)
    return Controlled(made, read_style(Path(folder)))


def _plain(value: object) -> object:
    return tuple(cast("list[object]", value)) if isinstance(value, list) else value
