"""Pretrained models of diffusers and transformers as `Network`, `Codec` and text encoder."""

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
    "ControlledUNet",
    "Model",
    "SecondEncoder",
    "TextEncoder",
    "UNetNetwork",
    "assemble",
    "load_components",
    "load_controlnet",
    "load_model",
]
