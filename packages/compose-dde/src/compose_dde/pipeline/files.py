"""Sounds and pictures as files."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from compose_core.errors import SceneError

__all__ = ["decode_sound", "encode_sound", "picture", "png"]


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
