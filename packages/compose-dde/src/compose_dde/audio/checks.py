"""Whether a sound is fit for a model: not silent, not clipped, long enough, with its channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError

__all__ = ["Report", "as_stems", "check_sound", "to_mono"]

SILENT = 1e-4
"""Root mean square below which a sound counts as silent: -80 dB."""

CLIPPED = 1e-3
"""Share of samples at full scale from which a sound counts as clipped."""


@dataclass(frozen=True)
class Report:
    """What is unusual about a sound that can be used.

    Attributes:
        peak, rms: Of all channels together.
        warnings: One sentence each; empty where nothing is unusual.
    """

    peak: float
    rms: float
    warnings: tuple[str, ...]


def check_sound(
    samples: Tensor,
    rate: int,
    *,
    what: str = "the sound",
    channels: int | None = None,
    least: float = 0.0,
    expected_rate: int | None = None,
) -> Report:
    """Look at samples (C, T) before a model hears them.

    Args:
        samples: Full scale is 1.
        rate: Samples in a second.
        what: What messages call it.
        channels: How many there have to be.
        least: Seconds that it has to last.
        expected_rate: The rate that the model was trained at.

    Raises:
        ShapeError: No sound at all, values that are no numbers, other channels, too short, or
            another rate.
    """
    if samples.dim() != 2 or samples.numel() == 0 or not samples.is_floating_point():
        raise ShapeError(
            f"{what} is no sound",
            got=f"{samples.dtype} {tuple(samples.shape)}",
            expected="float (channels, samples), one sample or more",
            remedy="divide integers by full scale",
        )
    if not bool(samples.isfinite().all()):
        lost = int((~samples.isfinite()).sum())
        raise ShapeError(
            f"{what} holds values that are no numbers",
            got=f"NaN or infinity, {lost} of {samples.numel()} samples",
            expected="finite samples",
            remedy="export it again, or replace them",
        )
    if channels is not None and samples.shape[0] != channels:
        raise ShapeError(
            f"{what} has the wrong channels",
            got=samples.shape[0],
            expected=channels,
            remedy="mix it down, or give each stem by itself",
        )
    if expected_rate is not None and rate != expected_rate:
        raise ShapeError(
            f"{what} has another sample rate than the model",
            got=f"{rate} Hz",
            expected=f"{expected_rate} Hz",
            remedy="read it with rate=, which resamples",
        )
    if samples.shape[1] < least * rate:
        raise ShapeError(
            f"{what} is too short",
            got=f"{samples.shape[1] / rate:.3f} s",
            expected=f"{least:g} s or more",
        )
    return Report(float(samples.abs().amax()), _rms(samples), _unusual(samples, what))


def _rms(samples: Tensor) -> float:
    return float(samples.double().square().mean().sqrt())


def _unusual(samples: Tensor, what: str) -> tuple[str, ...]:
    said: list[str] = []
    level = samples.double().square().mean(1).sqrt()
    silent = (level < SILENT).nonzero()[:, 0].tolist()
    if len(silent) == len(samples):
        said.append(f"{what} is silent")
    elif silent:
        said.append(f"{what}: channels {silent} are silent")
    peak = float(samples.abs().amax())
    if peak > 1.0:
        said.append(f"{what} goes beyond full scale (peak {peak:.2f})")
    at_top = float((samples.abs() >= 0.9999 * max(1.0, peak)).double().mean())
    if peak >= 0.9999 and at_top > CLIPPED:
        said.append(f"{what} is clipped: {at_top:.1%} of its samples are at full scale")
    offset = samples.double().mean(1).abs()
    if bool((offset > 0.1 * level.clamp_min(SILENT)).any()) and not len(silent) == len(samples):
        said.append(f"{what} has a constant offset of {float(offset.max()):.3f}")
    if len(samples) == 2 and not silent and torch.equal(samples[0], samples[1]):
        said.append(f"{what} is one channel twice")
    return tuple(said)


def to_mono(samples: Tensor) -> Tensor:
    """The mean (T,) of channels (C, T).

    The mean, so that one channel twice is as loud as once. Upmixing and adding with a weight of
    0.7071 instead, as some loaders do, makes everything 3 dB softer.
    """
    return samples.mean(0)


def as_stems(given: Mapping[str, Tensor], names: Sequence[str], what: str = "the song") -> Tensor:
    """Stems (S, T) in the order of ``names``; missing ones are silent, short ones are filled up.

    Args:
        given: Samples (T,) or (C, T), mixed to one channel, by name.
        names: Of all stems.
        what: What messages call them.

    Raises:
        UsageError: None is given, or one that the model does not know.
    """
    unknown = sorted(set(given) - set(names))
    if unknown or not given:
        raise UsageError(
            f"{what} has other stems than the model",
            got=sorted(given),
            expected=f"one or more of {', '.join(names)}",
        )
    mono = {name: one if one.dim() == 1 else to_mono(one) for name, one in given.items()}
    longest = max(len(one) for one in mono.values())
    like = next(iter(mono.values()))
    out = like.new_zeros(len(names), longest)
    for row, name in enumerate(names):
        if name in mono:
            out[row, : len(mono[name])] = mono[name]
    return out
