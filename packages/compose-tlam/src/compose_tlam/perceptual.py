"""VGG19 as the trunk of the perceptual loss, for those who have its weights."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from compose_core.errors import ComposeError, WeightsError

__all__ = ["VGG19"]

_TAPS = (1, 6, 11, 20, 29)
"""Places of relu1_1, 2_1, 3_1, 4_1 and 5_1 in torchvision's list of layers."""

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@final
class VGG19(nn.Module):
    """Features of VGG19 after the first ReLU of each of its five sizes (`losses.Trunk`).

    Args:
        weights: Safetensors with torchvision's names (``features.0.weight``, ...); the classifier
            may be in it.
        normalised: Whether colours are normalised as in training. The code that the paper follows
            hands over [-1, 1] as it is, which is the default here.

    Raises:
        ComposeError: torchvision is not installed.
        WeightsError: The file is missing, damaged, or holds another network.
    """

    weights: Sequence[float] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    def __init__(self, weights: Path, *, normalised: bool = False) -> None:
        super().__init__()
        try:
            models: Any = importlib.import_module("torchvision.models")
        except ImportError as error:
            raise ComposeError(
                "VGG19 comes from torchvision", got=error,
                remedy='pip install "compose-tlam[vgg]"',
            ) from error  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            layers: nn.Sequential = models.vgg19(weights=None, init_weights=False).features
        self.layers = nn.Sequential(*list(layers)[: _TAPS[-1] + 1])
        try:
            found = load_file(weights)
            own = {f"{k}": found[f"features.{k}"].float() for k in self.layers.state_dict()}
            self.layers.load_state_dict(own)
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            raise WeightsError(
                "the weights of VGG19 cannot be read",
                got=f"{weights}: {error}",
                expected="safetensors with torchvision's names, such as features.0.weight",
            ) from error
        self.normalised = normalised
        # In place they would overwrite features that are still compared.
        for layer in self.layers.modules():
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.requires_grad_(False).eval()

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Five maps of pictures (B, 3, H, W) in [-1, 1], H and W at least 16."""
        x = pictures
        if self.normalised:
            mean, deviation = (x.new_tensor(v)[:, None, None] for v in (_MEAN, _DEVIATION))
            x = (x / 2 + 0.5 - mean) / deviation
        found: list[Tensor] = []
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if place in _TAPS:
                found.append(x)
        return found
