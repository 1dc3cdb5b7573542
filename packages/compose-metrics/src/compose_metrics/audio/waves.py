"""Sound as tensors: reading files, mixing to mono, changing the rate.

PCM WAV files are read by the standard library, anything else by `soundfile` (extra ``audio``).
Samples are floats, 1.0 is full scale; integers are divided by a power of two and nothing else.
"""

from __future__ import annotations

import math
import wave
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ComposeError, ShapeError, UsageError

ZEROS = 64
ROLLOFF = 0.9475937167399596
BETA = 14.769656459379492
"""The low-pass known as kaiser_best: zero crossings a side, edge as a share of the lower Nyquist
frequency, and the shape of the Kaiser window."""


@dataclass(frozen=True)
class Wave:
    """Sound.

    Attributes:
        samples: (C, T) float32, full scale is 1.
        rate: Samples in a second.
    """

    samples: Tensor
    rate: int


def read_wave(path: str | Path, *, start: int = 0, frames: int | None = None) -> Wave:
    """Read a sound file, or ``frames`` of it from ``start``, both counted in samples.

    Raises:
        ComposeError: It is missing, damaged, or needs the package soundfile, which is not there.
        UsageError: ``start`` or ``frames`` lie outside the file.
    """
    path = Path(path)
    if not path.is_file():
        raise ComposeError("the sound does not exist", got=path, remedy="check the name")
    try:
        with wave.open(str(path), "rb") as file:
            _check_span(path, file.getnframes(), start, frames)
            file.setpos(start)
            data = file.readframes(file.getnframes() - start if frames is None else frames)
            samples = _decoded(data, file.getsampwidth()).reshape(-1, file.getnchannels())
            return Wave(torch.from_numpy(samples.T.copy()), file.getframerate())
    except (wave.Error, EOFError):  # not PCM, or no WAV
        return _read_other(path, start, frames)


def _check_span(path: Path, total: int, start: int, frames: int | None) -> None:
    if total < 1:
        raise ComposeError("the sound is empty", got=path)
    end = total if frames is None else start + frames
    if not (0 <= start < end <= total):
        raise UsageError(
            "this part is not in the sound",
            got=f"samples {start} to {end} of {path}",
            expected=f"within 0 to {total}",
        )


def _decoded(data: bytes, width: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """PCM of 8 (unsigned), 16, 24 or 32 bits (signed, little endian) to [-1, 1)."""
    if width == 1:
        centred = np.frombuffer(data, np.uint8).astype(np.int16) - 128
        return centred.astype(np.float32) / np.float32(128)
    if width == 3:  # shifted to the upper bytes of 32 bits
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        values = padded.reshape(-1).view("<i4")
    else:
        values = np.frombuffer(data, f"<i{width}")
    return (values.astype(np.float64) / 2.0 ** (8 * values.itemsize - 1)).astype(np.float32)


def _read_other(path: Path, start: int, frames: int | None) -> Wave:
    try:
        soundfile = import_module("soundfile")
    except (ImportError, OSError) as error:  # OSError: its C library is missing
        raise ComposeError(
            "the sound is no PCM WAV file",
            got=path,
            expected="a WAV file of 8, 16, 24 or 32 bit integers",
            remedy="pip install 'compose-metrics[audio]' to read FLAC, OGG and float WAV",
        ) from error
    try:
        with soundfile.SoundFile(str(path)) as file:
            _check_span(path, file.frames, start, frames)
            file.seek(start)
            samples = file.read(-1 if frames is None else frames, "float32", always_2d=True)
            return Wave(torch.from_numpy(samples.T.copy()), int(file.samplerate))
    except soundfile.SoundFileError as error:
        raise ComposeError("the sound cannot be read", got=f"{path}: {error}") from error


def checked_wave(samples: Tensor, what: str = "the sound") -> Tensor:
    """One channel (T,) as float: the mean of the channels of (C, T).

    Raises:
        ShapeError: Another shape or dtype, no sample, or values that are not finite.
    """
    if samples.dim() not in (1, 2) or samples.numel() == 0 or not samples.is_floating_point():
        raise ShapeError(
            f"{what} is no wave",
            got=f"{samples.dtype} {tuple(samples.shape)}",
            expected="float (T,) or (C, T)",
            remedy="divide integers by full scale",
        )
    if not bool(samples.isfinite().all()):
        raise ShapeError(f"{what} holds values that are not numbers", got="NaN or infinity")
    return samples if samples.dim() == 1 else samples.mean(0)


def resample(samples: Tensor, rate: int, new: int) -> Tensor:
    """Samples (..., T) at ``rate`` as (..., ceil(T * new / rate)) at ``new``.

    Band-limited interpolation (Smith 1984): each new sample is a sum of old ones, weighted by a
    sinc below the lower Nyquist frequency under a Kaiser window. The weights repeat after
    ``new / gcd`` samples, so they are the kernels of one strided convolution.

    Raises:
        UsageError: A rate that is not positive.
    """
    if rate < 1 or new < 1:
        raise UsageError("no rate", got=(rate, new), expected="samples in a second, > 0")
    if rate == new:
        return samples
    common = math.gcd(rate, new)
    old, fresh = rate // common, new // common
    kernels, reach = _kernels(old, fresh)
    length = samples.shape[-1]
    flat = samples.reshape(-1, 1, length)
    padded = F.pad(flat, (reach, reach + old))
    phases = F.conv1d(padded, kernels.to(samples), stride=old)  # (N, fresh, blocks)
    joined = phases.transpose(1, 2).reshape(len(flat), -1)
    wanted = -(-length * fresh // old)
    return joined[:, :wanted].reshape(*samples.shape[:-1], wanted)


def _kernels(old: int, fresh: int) -> tuple[Tensor, int]:
    """Weights (fresh, 1, old + 2 reach) of the old samples for each new one of a period."""
    edge = min(old, fresh) * ROLLOFF
    reach = math.ceil(ZEROS * old / edge)
    there = torch.arange(-reach, reach + old, dtype=torch.float64) / old
    here = torch.arange(fresh, dtype=torch.float64) / fresh
    t = ((here[:, None] - there) * edge).clamp(-ZEROS, ZEROS)
    shape = BETA * (1 - (t / ZEROS) ** 2).sqrt()
    window = torch.special.i0(shape) / torch.special.i0(torch.tensor(BETA, dtype=t.dtype))
    return (torch.sinc(t) * window * (edge / old))[:, None], reach
