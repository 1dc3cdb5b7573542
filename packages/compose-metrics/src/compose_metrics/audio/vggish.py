"""VGGish (Hershey et al. 2017): 128 numbers for about each second of sound.

Parameter names are those of the torch port (``torchvggish``): ``features.0.weight`` to
``embeddings.4.bias``. FAD is measured on the last linear layer: neither its ReLU nor the PCA of
the AudioSet release is applied, unless asked for.
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from compose_metrics.audio.log_mel import BANDS, FRAMES, RATE, Framing, patches
from compose_metrics.result import Source
from compose_metrics.weights import Weights, fill, finite, read

CANONICAL = "vggish"
DIM = 128
STAGES = ((64,), (128,), (256, 256), (512, 512))
"""Widths of the convolutions; each stage ends with a pool by two."""


def _features() -> nn.Sequential:
    layers: list[nn.Module] = []
    inside = 1
    for stage in STAGES:
        for width in stage:
            layers += [nn.Conv2d(inside, width, 3, padding=1), nn.ReLU()]
            inside = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGGishNet(nn.Module):
    """From patches (N, 1, 96, 64) to embeddings (N, 128), before the last ReLU."""

    def __init__(self) -> None:
        """Random weights; 72,141,184 parameters."""
        super().__init__()
        self.features = _features()
        places = FRAMES // 16 * (BANDS // 16)
        widths = (STAGES[-1][-1] * places, 4096, 4096, DIM)
        layers: list[nn.Module] = []
        for inside, outside in pairwise(widths):
            layers += [nn.Linear(inside, outside), nn.ReLU()]
        self.embeddings = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (N, 128)."""
        return self.embeddings(flattened(self.features(x)))


def flattened(maps: Tensor) -> Tensor:
    """Maps (N, C, H, W) as (N, H * W * C): channels last, as in TensorFlow."""
    return maps.permute(0, 2, 3, 1).flatten(1)


@final
class VGGish(nn.Module):
    """Sounds to embeddings, an `Embedder`.

    Args:
        network: The network; `load` reads the published one.
        source: Its identity.
        framing: How patches are cut; see `compose_metrics.audio.log_mel`.
        last_relu: Whether negative numbers become 0, as in the port's forward pass.
    """

    def __init__(
        self,
        network: VGGishNet,
        source: Source,
        *,
        framing: Framing = "torchvggish",
        last_relu: bool = False,
    ) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.source, self.last_relu = source, last_relu
        self.framing: Framing = framing
        self.rate, self.dim = RATE, DIM
        ends = "after the last ReLU" if last_relu else "before the last ReLU"
        self.transform = f"16 kHz mono, kaiser_best; log mel, {framing} framing; {ends}; no PCA"

    @classmethod
    def load(cls, weights: Weights, *, framing: Framing = "torchvggish") -> VGGish:
        """Read the port's weights from a safetensors file; tensors of its PCA are left out.

        With Google's framing the id is ``vggish-google``: the two are different measures.

        Raises:
            WeightsError: The file is missing, a pickle, or of another network.
        """
        found = read(weights)
        finite(found.tensors, "VGGish")
        with torch.device("meta"):
            network = VGGishNet()
        fill(network, found, "VGGish", keep=lambda name: not name.startswith("pproc."))
        name = CANONICAL if framing == "torchvggish" else f"{CANONICAL}-{framing}"
        source = Source(id=name, sha256=found.sha256, reference=True)
        return cls(network, source, framing=framing)

    @torch.no_grad()
    def embed(self, samples: Tensor) -> Tensor:
        """Embeddings (N, 128) of one sound (T,) at 16 kHz.

        Raises:
            ShapeError: Too short for one patch.
        """
        device = next(self.network.parameters()).device
        seen = self.network(patches(samples, self.framing).to(device))
        return seen.relu() if self.last_relu else seen
