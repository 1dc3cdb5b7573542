"""The front end of VGGish: what that network sees of a sound (Hershey et al. 2017).

16 kHz mono; frames of 25 ms every 10 ms under a periodic Hann window, no padding; magnitudes (not
powers) of a 512-point transform; 64 triangles between 125 and 7500 Hz whose flanks are straight
lines in mel, not in Hz; the logarithm of the sum plus 0.01; patches of 96 frames.

Two ways of cutting patches are in use, and they give different distances:

- ``torchvggish``: patches follow one another without overlap; the level is left alone.
- ``google``: the level is divided by the highest sample, by at least 0.1, once per sound; then
  windows of one second every half second, of which the first 96 frames are kept.

A rest that does not fill a patch is left out.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError

Framing = Literal["torchvggish", "google"]

RATE = 16_000
WINDOW, HOP, FFT = 400, 160, 512
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0
OFFSET = 0.01
FRAMES = 96
SHORTEST = {"torchvggish": WINDOW + (FRAMES - 1) * HOP, "google": RATE}
"""Fewest samples that make a patch."""


def mel(hertz: Tensor) -> Tensor:
    """The mel scale of HTK: 1127 ln(1 + f / 700)."""
    return 1127.0 * torch.log1p(hertz / 700.0)


def mel_matrix() -> Tensor:
    """Weights (257, 64), float64: how much each band takes of each bin's magnitude."""
    bins = mel(torch.linspace(0, RATE / 2, FFT // 2 + 1, dtype=torch.float64))[:, None]
    ends = mel(torch.tensor([LOWEST, HIGHEST], dtype=torch.float64))
    edges = torch.linspace(float(ends[0]), float(ends[1]), BANDS + 2, dtype=torch.float64)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    weights = torch.minimum(rising, falling).clamp_min(0)
    weights[0] = 0  # HTK leaves the constant out
    return weights


def log_mel(samples: Tensor) -> Tensor:
    """Log magnitudes (F, 64), float64, of samples (T,) at 16 kHz; F = 1 + (T - 400) // 160."""
    frames = samples.double().unfold(0, WINDOW, HOP)
    window = torch.hann_window(WINDOW, periodic=True, dtype=torch.float64, device=samples.device)
    magnitudes = torch.fft.rfft(frames * window, FFT).abs()
    return torch.log(magnitudes @ mel_matrix().to(samples.device) + OFFSET)


def patches(samples: Tensor, framing: Framing = "torchvggish") -> Tensor:
    """What VGGish sees: (N, 1, 96, 64) float32 of samples (T,) at 16 kHz.

    Raises:
        UsageError: An unknown framing.
        ShapeError: Too short for one patch.
    """
    if framing not in SHORTEST:
        raise UsageError("unknown framing", got=framing, expected="torchvggish or google")
    if samples.dim() != 1 or len(samples) < SHORTEST[framing]:
        raise ShapeError(
            "the sound is too short for a patch of VGGish",
            got=f"{tuple(samples.shape)} samples",
            expected=f"(T,), T at least {SHORTEST[framing]}: {SHORTEST[framing] / RATE} s",
            remedy="measure longer sounds",
        )
    if framing == "torchvggish":
        frames = log_mel(samples)
        whole = len(frames) // FRAMES
        cut = frames[: whole * FRAMES].view(whole, FRAMES, BANDS)
    else:
        level = samples / samples.max().clamp_min(0.1)
        windows = level.unfold(0, RATE, RATE // 2)
        cut = torch.stack([log_mel(window)[:FRAMES] for window in windows])
    return cut[:, None].float()
