"""Pretrained models of diffusers and transformers as `Network`, `Codec` and text encoder."""

from compose_core.backbones.control import Controlled, add_controlnet
from compose_core.backbones.load import (
    Model,
    assemble,
    load_components,
    load_controlnet,
    load_model,
)
from compose_core.backbones.text import SecondEncoder, TextEncoder
from compose_core.backbones.unet import ConditionedUNet, ControlledUNet, UNetNetwork

__all__ = [
    "ConditionedUNet",
    "Controlled",
    "ControlledUNet",
    "Model",
    "SecondEncoder",
    "TextEncoder",
    "UNetNetwork",
    "add_controlnet",
    "assemble",
    "load_components",
    "load_controlnet",
    "load_model",
]
