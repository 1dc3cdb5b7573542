"""Changing the sample rate: band-limited interpolation, by torchaudio or by one convolution.

Both sum old samples under a Hann-windowed sinc of the same width and edge (Smith 1984), so their
results agree to rounding and it does not matter which of them is installed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import UsageError
from compose_dde.audio.backends import Backend, backend, functional

__all__ = ["resample"]

ZEROS = 24
"""Zero crossings of the sinc on each side."""

ROLLOFF = 0.95
"""Edge of the low-pass as a share of the lower Nyquist frequency."""


def resample(samples: Tensor, rate: int, new: int, *, using: Backend = "auto") -> Tensor:
    """Samples (..., T) at ``rate`` as (..., ceil(T * new / rate)) at ``new``.

    Args:
        samples: Float.
        rate: Samples in a second that are given.
        new: Samples in a second that are wanted.
        using: See `backend`.

    Raises:
        UsageError: A rate is not positive.
        ComposeError: torchaudio is asked for by name and cannot be imported.
    """
    if rate < 1 or new < 1:
        raise UsageError("no rate", got=(rate, new), expected="samples in a second, 1 or more")
    if rate == new or samples.shape[-1] == 0:
        return samples
    if backend(using) == "torchaudio":
        return functional().resample(
            samples, rate, new, lowpass_filter_width=ZEROS, rolloff=ROLLOFF
        )
    common = math.gcd(rate, new)
    return _convolved(samples, rate // common, new // common)


def _convolved(samples: Tensor, old: int, fresh: int) -> Tensor:
    kernels, reach = _kernels(old, fresh)
    length = samples.shape[-1]
    padded = F.pad(samples.reshape(-1, 1, length), (reach, reach + old))
    phases = F.conv1d(padded, kernels.to(samples), stride=old)  # (N, fresh, blocks)
    joined = phases.transpose(1, 2).flatten(1)
    wanted = -(-length * fresh // old)
    return joined[:, :wanted].reshape(*samples.shape[:-1], wanted)


def _kernels(old: int, fresh: int) -> tuple[Tensor, int]:
    """Weights (fresh, 1, old + 2 reach) of the old samples for each new one of a period."""
    edge = min(old, fresh) * ROLLOFF
    reach = math.ceil(ZEROS * old / edge)
    there = torch.arange(-reach, reach + old, dtype=torch.float64) / old
    here = torch.arange(fresh, dtype=torch.float64) / fresh
    t = ((here[:, None] - there) * edge).clamp(-ZEROS, ZEROS)
    window = torch.cos(t * (math.pi / ZEROS / 2)).square()
    return (torch.sinc(t) * window * (edge / old))[:, None], reach
