"""A small in-house network that hears the tiny band: the embedder of ``fad@tiny-v1``.

It hears at 4 kHz, where the tiny music models speak; VGGish needs 16 kHz. It was trained to name
chords, tempi, instruments and noise of `compose_worlds.stems`; its distances say nothing of
recorded music, and are never called ``fad``.

Log mel: windows of 256 samples every 64, 40 triangles between 60 and 1950 Hz, the logarithm of the
magnitude plus 0.001. A patch is 128 frames, about two seconds; patches overlap by half.
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from compose_core.errors import ShapeError
from compose_metrics.audio.log_mel import mel
from compose_metrics.result import Source
from compose_metrics.weights import Weights, fill, finite, read

RATE = 4_000
WINDOW, HOP = 256, 64
BANDS, LOWEST, HIGHEST = 40, 60.0, 1950.0
OFFSET = 1e-3
FRAMES = 128
STEP = FRAMES // 2
SHORTEST = WINDOW + (FRAMES - 1) * HOP
"""Fewest samples that make a patch."""

WIDTHS = (24, 48, 64, 96)
DIM = 64


def _triangles() -> Tensor:
    """Weights (129, 40): how much each band takes of each bin's magnitude."""
    bins = mel(torch.linspace(0, RATE / 2, WINDOW // 2 + 1, dtype=torch.float64))[:, None]
    ends = mel(torch.tensor([LOWEST, HIGHEST], dtype=torch.float64)).tolist()
    edges = torch.linspace(ends[0], ends[1], BANDS + 2, dtype=torch.float64)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    weights = torch.minimum(rising, falling).clamp_min(0)
    # Bands narrower than a bin take the nearest one.
    empty = weights.sum(0) == 0
    weights[(bins - centre).abs().argmin(0)[empty], empty.nonzero()[:, 0]] = 1.0
    return weights.float()


def patches(samples: Tensor) -> Tensor:
    """What the network sees: (N, 1, 128, 40) of samples (T,) at 4 kHz; a short rest is left out.

    Raises:
        ShapeError: Too short for one patch.
    """
    if samples.dim() != 1 or len(samples) < SHORTEST:
        raise ShapeError(
            "the sound is too short for a patch",
            got=f"{tuple(samples.shape)} samples",
            expected=f"(T,), T at least {SHORTEST}: {SHORTEST / RATE:g} s",
            remedy="measure longer sounds",
        )
    frames = samples.float().unfold(0, WINDOW, HOP)
    window = torch.hann_window(WINDOW, device=samples.device)
    magnitudes = torch.fft.rfft(frames * window).abs() * (2 / WINDOW)
    seen = torch.log(magnitudes @ _triangles().to(samples.device) + OFFSET)
    return seen.unfold(0, FRAMES, STEP).transpose(1, 2)[:, None]


class EarsNet(nn.Module):
    """From patches (N, 1, 128, 40) to vectors (N, 64)."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in pairwise((1, *WIDTHS)):
            layers += [
                nn.Conv2d(inside, outside, 3, padding=1),
                nn.GroupNorm(8, outside),
                nn.SiLU(),
                nn.Conv2d(outside, outside, 3, padding=1),
                nn.GroupNorm(8, outside),
                nn.SiLU(),
                nn.AvgPool2d(2),
            ]
        self.features = nn.Sequential(*layers)
        self.embedding = nn.Linear(2 * WIDTHS[-1] * (BANDS // 16), DIM)

    def forward(self, x: Tensor) -> Tensor:
        """Mean and spread over time of each channel and band, mixed."""
        seen = self.features((x + 5) / 2)
        spread, mean = torch.var_mean(seen, 2, correction=0)
        return self.embedding(torch.cat([mean, (spread + 1e-6).sqrt()], 1).flatten(1))


@final
class Ears(nn.Module):
    """Sounds to vectors, an `Embedder`.

    Args:
        network: The network; `load` reads a trained one.
        source: Its identity.
    """

    def __init__(self, network: EarsNet, source: Source) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.source = source
        self.rate, self.dim = RATE, DIM
        self.transform = (
            "4 kHz mono, kaiser_best; log mel of 40 bands, patches of 128 frames by 64"
        )

    @classmethod
    def load(cls, weights: Weights, *, name: str = "tiny-v1") -> Ears:
        """Read trained weights from a safetensors file, of half or single precision.

        Raises:
            WeightsError: The file is missing, a pickle, or of another network.
        """
        found = read(weights)
        finite(found.tensors, "the ears")
        with torch.device("meta"):
            network = EarsNet()
        fill(network, found, "the ears")
        return cls(network.float(), Source(id=name, sha256=found.sha256, reference=False))

    @torch.no_grad()
    def embed(self, samples: Tensor) -> Tensor:
        """Vectors (N, 64) of one sound (T,) at 4 kHz.

        Raises:
            ShapeError: Too short for one patch.
        """
        device = next(self.network.parameters()).device
        seen = patches(samples.to(device))
        return torch.cat([self.network(chunk) for chunk in seen.split(64)])
