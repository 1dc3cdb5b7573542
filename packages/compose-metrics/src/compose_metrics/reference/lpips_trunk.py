"""The trunks and linear heads of LPIPS (Zhang et al. 2018), version 0.1.

A trunk's weights are the ``features.*`` tensors of torchvision's AlexNet or VGG16. The heads come
from a safetensors file, or out of the installed `lpips` package: that package ships them as an
old pickle, which is not opened; its bytes are compared with the published sha256, and the numbers
are read at their known places.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from compose_core.errors import WeightsError
from compose_metrics.result import Source
from compose_metrics.weights import Weights, fill, finite, read

Net = Literal["alex", "vgg"]

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation for pictures in [-1, 1], as LPIPS rounds them."""

_ALEX = (("conv", 64, 11, 4, 2), ("pool", 3), ("conv", 192, 5, 1, 2), ("pool", 3)) + tuple(
    ("conv", width, 3, 1, 1) for width in (384, 256, 256)
)
_VGG = tuple(
    layer
    for i, (width, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)))
    for layer in ((("pool", 2),) if i else ()) + (("conv", width, 3, 1, 1),) * depth
)
_LAYERS = {"alex": _ALEX, "vgg": _VGG}
_TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
CHANNELS: dict[Net, tuple[int, ...]] = {
    "alex": (64, 192, 384, 256, 256),
    "vgg": (64, 128, 256, 512, 512),
}

# In lpips 0.1.4, weights/v0.1/<net>.pth: sha256, then where each head's float32 values begin.
_PACKAGED: dict[Net, tuple[str, tuple[int, ...]]] = {
    "alex": (
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        (4721, 1369, 2145, 3689, 4985),
    ),
    "vgg": (
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        (6001, 5481, 6265, 3425, 1369),
    ),
}


def _features(net: Net) -> nn.Sequential:
    """The convolutional part, numbered as torchvision numbers it."""
    layers: list[nn.Module] = []
    inside = 3
    for kind, size, *rest in _LAYERS[net]:
        if kind == "pool":
            layers.append(nn.MaxPool2d(size, 2))
            continue
        kernel, stride, padding = rest
        layers += [nn.Conv2d(inside, size, kernel, stride, padding), nn.ReLU()]
        inside = size
    return nn.Sequential(*layers)


class ImageNetTrunk(nn.Module):
    """AlexNet or VGG16 up to its last ReLU, giving the maps after five of its ReLUs.

    Attributes:
        net: ``alex`` or ``vgg``.
        source: The weights; ``reference`` only when they were read from a file.
        channels: Widths of the five maps.
    """

    def __init__(self, net: Net, source: Source | None = None) -> None:
        """Random weights; `load` reads published ones."""
        super().__init__()
        self.net: Net = net
        self.source = source or Source(id=f"{net}-random", sha256="", reference=False)
        self.channels = CHANNELS[net]
        self.features = _features(net)

    @classmethod
    def load(cls, net: Net, weights: Weights) -> ImageNetTrunk:
        """Read the ``features.*`` tensors of torchvision's classifier of that name.

        Raises:
            WeightsError: The file is missing, a pickle, or of another network.
        """
        found = read(weights)
        finite(found.tensors, f"the {net} trunk")
        with torch.device("meta"):
            trunk = cls(net, Source(id=net, sha256=found.sha256, reference=True))
        fill(trunk, found, f"torchvision's {net}", keep=lambda name: name.startswith("features."))
        return trunk

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Five maps (B, C_k, H_k, W_k) of pictures (B, 3, H, W) in [-1, 1]."""
        pictures = pictures.to(next(self.features.parameters()).device)
        shift, scale = (pictures.new_tensor(row).view(1, 3, 1, 1) for row in (SHIFT, SCALE))
        x = (pictures - shift) / scale
        maps: list[Tensor] = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in _TAPS[self.net]:
                maps.append(x)
        return tuple(maps)


def packaged_heads(net: Net) -> tuple[Tensor, ...]:
    """The five heads (C_k,) that the installed `lpips` package (0.1.4) ships.

    Raises:
        WeightsError: The package is not installed, or ships other bytes.
    """
    spec = importlib.util.find_spec("lpips")
    if spec is None or spec.origin is None:
        raise WeightsError(
            "the heads of LPIPS are not on this machine",
            expected="the package lpips, or a file of heads",
            remedy="pip install 'compose-metrics[lpips]'",
        )
    path = Path(spec.origin).parent / "weights" / "v0.1" / f"{net}.pth"
    known, places = _PACKAGED[net]
    data = path.read_bytes() if path.is_file() else b""
    if (found := sha256(data).hexdigest()) != known:
        raise WeightsError(
            "the lpips package ships other heads than version 0.1.4",
            got=f"sha256 {found} of {path}",
            expected=f"sha256 {known}",
            remedy="install lpips 0.1.4, or give the heads as a safetensors file",
        )
    return tuple(
        torch.from_numpy(np.frombuffer(data, "<f4", count, place).copy())
        for place, count in zip(places, CHANNELS[net], strict=True)
    )


def read_heads(weights: Weights, channels: Sequence[int]) -> tuple[Tensor, ...]:
    """Heads (C_k,) from a safetensors file that names them ``lin0.model.1.weight`` and so on.

    Raises:
        WeightsError: A head is missing, of another width, or negative: LPIPS is a distance only
            with weights that are not.
    """
    found = read(weights)
    heads: list[Tensor] = []
    for k, width in enumerate(channels):
        tensor = found.tensors.get(f"lin{k}.model.1.weight", found.tensors.get(f"lin{k}"))
        if tensor is None or tensor.numel() != width:
            raise WeightsError(
                "these are not the heads of this trunk",
                got=f"lin{k}: {None if tensor is None else tuple(tensor.shape)}",
                expected=f"{width} weights",
                remedy=f"check {found.path}",
            )
        heads.append(tensor.detach().float().flatten())
    finite({f"lin{k}": head for k, head in enumerate(heads)}, "the file of heads")
    if any(bool((head < 0).any()) for head in heads):
        raise WeightsError("the heads of LPIPS are not negative", got="negative weights")
    return tuple(heads)
