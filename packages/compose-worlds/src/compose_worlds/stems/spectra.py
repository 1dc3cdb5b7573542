"""Sound over time and pitch: chroma, and how strongly notes begin."""

from __future__ import annotations

import torch
from torch import Tensor

from compose_core.errors import ShapeError

FRAMES = 100
"""Values of an onset envelope in a second."""

CHROMA_FRAMES = 10
"""Chroma vectors in a second."""

_LOWEST, _TOP = 100.0, 1900.0
"""Hertz between which pitches are told apart; below, semitones are narrower than a bin."""


def framed(samples: Tensor, size: int, hop: float) -> Tensor:
    """Magnitudes (F, size // 2 + 1) of Hann windows centred every ``hop`` samples, zeros around.

    Raises:
        ShapeError: Not one channel of finite floats.
    """
    if samples.dim() != 1 or not samples.is_floating_point() or samples.numel() == 0:
        raise ShapeError(
            "not a sound", got=f"{samples.dtype} {tuple(samples.shape)}", expected="float (T,)"
        )
    if not bool(samples.isfinite().all()):
        raise ShapeError("the sound holds values that are no numbers", got="NaN or infinity")
    padded = torch.nn.functional.pad(samples.float(), (size // 2, size))
    starts = (torch.arange(1 + int((len(samples) - 1) / hop)) * hop).round().long()
    frames = padded[starts[:, None] + torch.arange(size)]
    return torch.fft.rfft(frames * torch.hann_window(size)).abs() * (2 / size)


def chromagram(samples: Tensor, rate: int) -> Tensor:
    """Strength of the 12 pitch classes, ten times a second: (F, 12), zeros where it is silent.

    Each bin counts for the pitch class that it is nearest to, the less the farther it is.
    """
    size = 2 ** round(torch.log2(torch.tensor(0.45 * rate)).item())
    magnitudes = framed(samples, size, rate / CHROMA_FRAMES)
    hertz = torch.arange(size // 2 + 1) * rate / size
    kept = (hertz >= _LOWEST) & (hertz <= min(_TOP, 0.48 * rate))
    pitch = 69 + 12 * torch.log2(hertz[kept] / 440)
    off = pitch - pitch.round()
    classes = pitch.round().long() % 12
    weight = torch.zeros(int(kept.sum()), 12)
    weight[torch.arange(len(classes)), classes] = torch.exp(-((off / 0.25) ** 2))
    # Low bins hold fewer partials of other notes.
    weight *= (hertz[kept] / 440).clamp_min(0.5)[:, None] ** -0.5
    return (magnitudes[:, kept].square() @ weight).sqrt()


def onsets(samples: Tensor, rate: int) -> Tensor:
    """How much louder the spectrum becomes, a hundred times a second: (F,), sums over bands.

    Source: the half-wave rectified flux of log magnitudes, as in Boeck and Widmer (2013).
    """
    size = 2 ** round(torch.log2(torch.tensor(0.04 * rate)).item())
    loud = torch.log1p(1000 * framed(samples, size, rate / FRAMES))
    flux = (loud[1:] - loud[:-1]).clamp_min(0).mean(1)
    return torch.cat([flux[:1] * 0, flux])
