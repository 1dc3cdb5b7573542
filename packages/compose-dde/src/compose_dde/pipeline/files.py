"""Sounds and pictures as files."""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from compose_core.errors import ComposeError, SceneError, UsageError

__all__ = ["SoundWriter", "decode_sound", "encode_sound", "picture", "png"]

_KINDS = {".flac": "FLAC", ".wav": "WAV"}


def encode_sound(sound: Tensor, sample_rate: int, *, title: str = "") -> bytes:
    """FLAC bytes, 24 bit, of a sound `(T,)` or `(S, T)`; values beyond 1 are cut.

    Args:
        sound: One sound, or channels side by side.
        sample_rate: Samples per second.
        title: What players show.
    """
    import soundfile

    stream = io.BytesIO()
    channels = 1 if sound.dim() == 1 else sound.shape[0]
    with soundfile.SoundFile(stream, "w", sample_rate, channels, "PCM_24", format="FLAC") as file:
        if title:
            file.title = title
        file.write(sound.reshape(channels, -1).clamp(-1, 1).T.numpy())
    return stream.getvalue()


def decode_sound(data: bytes, what: str) -> tuple[Tensor, int]:
    """Samples `(S, T)` in float32, and their rate.

    Args:
        data: A file.
        what: What messages call it.

    Raises:
        SceneError: It is no sound.
    """
    import soundfile

    try:
        values, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (RuntimeError, TypeError) as error:  # the errors of libsndfile
        raise SceneError(
            f"{what} is no sound", got=str(error), expected="a FLAC or WAV file"
        ) from error
    return torch.from_numpy(np.ascontiguousarray(values.T)), int(rate)


@final
class SoundWriter:
    """A sound file that grows, and is whole after every piece, whatever interrupts it.

    Args:
        path: Ends in .flac or .wav.
        sample_rate: Samples per second.
        channels: How many.

    Raises:
        UsageError: The name ends in something else.
        ComposeError: The file cannot be written.
    """

    def __init__(self, path: str | Path, sample_rate: int, channels: int) -> None:
        import soundfile

        self.path = Path(path)
        kind = _KINDS.get(self.path.suffix.lower())
        if kind is None:
            raise UsageError("unknown kind of sound file", got=self.path, expected=".flac or .wav")
        try:
            self._file: Any = soundfile.SoundFile(
                str(self.path), "w", sample_rate, channels, "PCM_24", format=kind
            )
        except (RuntimeError, TypeError) as error:
            raise ComposeError("a sound cannot be written", got=f"{path}: {error}") from error

    def write(self, piece: Tensor) -> None:
        """Append `(S, n)`; values beyond 1 are cut."""
        self._file.write(piece.clamp(-1, 1).T.numpy())
        self._file.flush()

    def close(self) -> None:
        """Write the last header."""
        self._file.close()

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, also after an error: what was written stays."""
        self.close()


def picture(x: Tensor) -> Image.Image:
    """A picture of `(C, H, W)`, about -1 to 1."""
    values = ((x.clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(values.movedim(0, 2).numpy())


def png(made: Image.Image, chunk: str, text: str) -> bytes:
    """PNG bytes with a text inside."""
    info = PngInfo()
    info.add_text(chunk, text)
    stream = io.BytesIO()
    made.save(stream, "PNG", pnginfo=info)
    return stream.getvalue()
