"""Changing the sample rate: band-limited interpolation, by torchaudio or by convolutions.

Both sum old samples under a Hann-windowed sinc of the same width and edge (Smith 1984), so their
results agree to rounding and it does not matter which of them is installed.

New samples fall between old ones in as many ways as the rates have no factor in common. One kernel
holds them all where they are few. From 44,101 to 44,100 Hz they are 44,100, and nearly all of that
kernel would be zero: there, a few neighbours at a time have one of their own, no wider than they
need. The rates are exactly those that are asked for either way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

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

_MOST = 2**20
"""Weights of one kernel; 8 MB, and a few times that while they are made."""


def resample(samples: Tensor, rate: int, new: int, *, using: Backend = "auto") -> Tensor:
    """Samples (..., T) at ``rate`` as (..., ceil(T * new / rate)) at ``new``.

    Args:
        samples: Float.
        rate: Samples in a second that are given.
        new: Samples in a second that are wanted.
        using: See `backend`. torchaudio has one kernel for any rates: where that would be large,
            it is left out, also by name.

    Raises:
        UsageError: A rate is not positive.
        ComposeError: torchaudio is asked for by name and cannot be imported.
    """
    if rate < 1 or new < 1:
        raise UsageError("no rate", got=(rate, new), expected="samples in a second, 1 or more")
    if rate == new or samples.shape[-1] == 0:
        return samples
    common = math.gcd(rate, new)
    old, fresh = rate // common, new // common
    if backend(using) == "torchaudio" and fresh * (old + 2 * _reach(old, fresh)) <= _MOST:
        return functional().resample(
            samples, rate, new, lowpass_filter_width=ZEROS, rolloff=ROLLOFF
        )
    return _convolved(samples, old, fresh)


def _convolved(samples: Tensor, old: int, fresh: int) -> Tensor:
    length = samples.shape[-1]
    wanted = -(-length * fresh // old)
    periods = -(-wanted // fresh)
    reach = _reach(old, fresh)
    padded = F.pad(samples.reshape(-1, 1, length), (reach, reach + old))
    phases: list[Tensor] = []
    for first, last in _groups(old, fresh, min(fresh, wanted)):
        kernels, begin = _kernels(old, fresh, first, last)
        end = begin + (periods - 1) * old + kernels.shape[2]
        phases.append(F.conv1d(padded[..., begin:end], kernels.to(samples), stride=old))
    joined = torch.cat(phases, 1).transpose(1, 2).flatten(1)  # (N, fresh, periods) before
    return joined[:, :wanted].reshape(*samples.shape[:-1], wanted)


def _reach(old: int, fresh: int) -> int:
    """Old samples on each side that a new one hears."""
    return math.ceil(ZEROS * old / (min(old, fresh) * ROLLOFF))


def _groups(old: int, fresh: int, wanted: int) -> Iterator[tuple[int, int]]:
    """The new samples of a period, first to last, in groups whose kernels are small."""
    width = 2 * _reach(old, fresh) + 1
    size = wanted
    if wanted * (old + width) > _MOST:
        # As many as make their kernel twice as wide as that of one.
        size = max(1, min(width * fresh // old, _MOST // (2 * width)))
    for first in range(0, wanted, size):
        yield first, min(first + size, wanted) - 1


def _kernels(old: int, fresh: int, first: int, last: int) -> tuple[Tensor, int]:
    """Weights (n, 1, m) of old samples for new ones ``first`` to ``last`` of a period.

    And the old sample, counted from `_reach` before the period, that the weights begin with.
    """
    edge = min(old, fresh) * ROLLOFF
    reach = _reach(old, fresh)
    begin, end = first * old // fresh, last * old // fresh
    there = torch.arange(begin - reach, end + reach + 1, dtype=torch.float64) / old
    here = torch.arange(first, last + 1, dtype=torch.float64) / fresh
    t = ((here[:, None] - there) * edge).clamp(-ZEROS, ZEROS)
    window = torch.cos(t * (math.pi / ZEROS / 2)).square()
    return (torch.sinc(t) * window * (edge / old))[:, None], begin
