"""Reading sound files, exactly the samples that are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compose_core.errors import ComposeError, UsageError
from compose_dde.audio.backends import Backend
from compose_dde.audio.resampling import resample

__all__ = ["Sound", "SoundInfo", "probe", "read_sound"]

_TAGS = ("title", "artist", "album", "date", "comment", "software", "genre")
_UNKNOWN = 2**62
"""What libsndfile says of a file whose length was never written, or more."""


@dataclass(frozen=True)
class SoundInfo:
    """What a file says of itself.

    Attributes:
        rate: Samples in a second.
        channels: How many.
        frames: Samples of each channel; None where recording was interrupted before the length
            was written.
        format: Such as ``FLAC`` and ``PCM_24``.
        tags: Title, comment and others that are there.
    """

    rate: int
    channels: int
    frames: int | None
    format: tuple[str, str]
    tags: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Sound:
    """Sound.

    Attributes:
        samples: (C, T) float32, full scale is 1.
        rate: Samples in a second.
        notes: What was done to it while reading, in words: a changed rate.
    """

    samples: Tensor
    rate: int
    notes: tuple[str, ...] = ()


def probe(path: str | Path) -> SoundInfo:
    """Look at a file without reading its samples.

    Raises:
        ComposeError: It is missing or no sound.
    """
    with _opened(Path(path)) as file:
        frames = int(file.frames)
        tags = {name: str(getattr(file, name)) for name in _TAGS}
        return SoundInfo(
            int(file.samplerate),
            int(file.channels),
            None if frames >= _UNKNOWN else frames,
            (str(file.format), str(file.subtype)),
            {name: text for name, text in tags.items() if text},
        )


def read_sound(
    path: str | Path,
    *,
    start: int = 0,
    frames: int | None = None,
    rate: int | None = None,
    using: Backend = "auto",
) -> Sound:
    """Read a sound, or ``frames`` of it from ``start``, both counted in samples of the file.

    Args:
        path: WAV, FLAC, or anything else that libsndfile knows.
        start: The first sample.
        frames: How many; by default all that follow.
        rate: Samples in a second that are wanted; the notes say when they were changed.
        using: Who changes the rate, see `backend`.

    Raises:
        ComposeError: The file is missing, no sound, empty, damaged or of unknown length.
        UsageError: ``start`` or ``frames`` lie outside the file.
    """
    path = Path(path)
    with _opened(path) as file:
        total = int(file.frames)
        if total >= _UNKNOWN:
            raise ComposeError(
                "the sound does not know its length: recording was interrupted",
                got=path,
                remedy="`flac --decode-through-errors` reads what is there",
            )
        if total < 1:
            raise ComposeError("the sound is empty", got=path)
        end = total if frames is None else start + frames
        if not 0 <= start < end <= total:
            raise UsageError(
                "this part is not in the sound",
                got=f"samples {start} to {end} of {path}",
                expected=f"within 0 to {total}",
            )
        file.seek(start)
        samples = _taken(file, end - start, path)
        found = int(file.samplerate)
    if rate is None or rate == found:
        return Sound(samples, found)
    note = f"{path.name}: resampled from {found} to {rate} Hz"
    return Sound(resample(samples, found, rate, using=using), rate, (note,))


def _opened(path: Path) -> Any:
    import soundfile

    if not path.is_file():
        raise ComposeError("the sound does not exist", got=path, remedy="check the name")
    try:
        return soundfile.SoundFile(str(path))
    except (RuntimeError, TypeError) as error:  # the errors of libsndfile
        raise ComposeError(
            "the file is no sound",
            got=f"{path}: {error}",
            expected="WAV, FLAC, OGG or another format of libsndfile",
        ) from error


def _taken(file: Any, count: int, path: Path) -> Tensor:
    try:
        values = file.read(count, "float32", always_2d=True)
    except RuntimeError as error:
        raise ComposeError("the sound is damaged", got=f"{path}: {error}") from error
    if len(values) != count:
        raise ComposeError(
            "the sound ends before its time",
            got=f"{path}: {len(values)} samples",
            expected=f"{count}, as the file says",
        )
    return torch.from_numpy(values.T.copy())
