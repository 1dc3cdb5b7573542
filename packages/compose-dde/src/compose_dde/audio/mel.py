"""Log mel spectra, by torchaudio's bands or by our own, which are the same (HTK, no area norm)."""

from __future__ import annotations

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_dde.audio.backends import Backend, backend, functional

__all__ = ["log_mel", "mel_bands"]


def mel_bands(
    bins: int, bands: int, rate: int, low: float, high: float, *, using: Backend = "auto"
) -> Tensor:
    """Weights (bins, bands): triangles in hertz between equally spaced points of the mel scale.

    Args:
        bins: Of a spectrum from 0 to half of the rate.
        bands: How many triangles.
        rate: Samples in a second.
        low: Where the first begins, in hertz.
        high: Where the last ends.
        using: See `backend`.

    Raises:
        UsageError: The frequencies do not fit the rate, or a number is not positive.
    """
    if not (0 <= low < high <= rate / 2) or bins < 2 or bands < 1:
        raise UsageError(
            "impossible mel bands",
            got=f"{bands} bands from {low:g} to {high:g} Hz of {bins} bins at {rate} Hz",
            expected=f"0 <= low < high <= {rate / 2:g}, 2 bins and 1 band or more",
        )
    if backend(using) == "torchaudio":
        return functional().melscale_fbanks(bins, low, high, bands, rate, None, "htk")
    hertz = torch.linspace(0, rate // 2, bins, dtype=torch.float64)[:, None]
    ends = 2595 * torch.log10(1 + torch.tensor([low, high], dtype=torch.float64) / 700)
    points = torch.linspace(float(ends[0]), float(ends[1]), bands + 2, dtype=torch.float64)
    edges = 700 * (10 ** (points / 2595) - 1)
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
    return torch.minimum(rising, falling).clamp_min(0).float()


def log_mel(
    samples: Tensor,
    rate: int,
    *,
    window: int = 1024,
    hop: int = 256,
    bands: int = 64,
    low: float = 30.0,
    high: float | None = None,
    floor: float = 1e-5,
    using: Backend = "auto",
) -> Tensor:
    """Natural logarithms (..., bands, F) of mel magnitudes, F = 1 + T // hop, frames centred.

    Args:
        samples: (..., T) float, at least half a window long.
        rate: Samples in a second.
        window: Samples of a Hann window.
        hop: Samples between two.
        bands: How many.
        low: Lowest frequency in hertz.
        high: Highest; by default half of the rate.
        floor: Least magnitude.
        using: See `backend`.

    Raises:
        ShapeError: The sound is shorter than half a window.
    """
    if samples.shape[-1] <= window // 2:
        raise ShapeError(
            "the sound is too short for a spectrum",
            got=f"{samples.shape[-1]} samples",
            expected=f"more than {window // 2}",
        )
    flat = samples.reshape(-1, samples.shape[-1])
    hann = torch.hann_window(window, dtype=samples.dtype, device=samples.device)
    spectrum = torch.stft(flat, window, hop, window=hann, return_complex=True).abs()
    top = rate / 2 if high is None else high
    weights = mel_bands(window // 2 + 1, bands, rate, low, top, using=using).to(spectrum)
    heard = (spectrum.transpose(1, 2) @ weights).transpose(1, 2) * (2 / window)
    return heard.clamp_min(floor).log().reshape(*samples.shape[:-1], *heard.shape[1:])
