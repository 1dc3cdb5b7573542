"""A sound file that grows while it is made, and can be read at any moment."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from torch import Tensor

from compose_core.errors import ComposeError, ShapeError, UsageError

__all__ = ["Recorder"]

_KINDS = {".wav": "WAV", ".flac": "FLAC"}
_DEPTHS = {16: "PCM_16", 24: "PCM_24"}
_TAGS = ("title", "artist", "album", "date", "comment", "software", "genre")
_WAV_LIMIT = 2**32 - 4096
_BLOCKS_AT, _LENGTH_AT = 8, 18
"""Where a FLAC file says how long its blocks are, and rate, channels, depth and length in 64 bits
(RFC 9639, section 8.2)."""


@final
class Recorder:
    """Writes pieces; after each of them the file so far is whole, whatever happens next.

    WAV headers are brought up to date by libsndfile. FLAC is written in blocks (of 4096 samples at
    usual rates), and libsndfile tells the length only at the end, so that most programs could not
    read an interrupted file: here it is told after each piece. An interrupted FLAC file may lack
    its last block, a WAV file lacks nothing.

    Args:
        path: Ends in .wav or .flac; a file that is there is replaced.
        rate: Samples in a second.
        channels: How many; FLAC has up to 8.
        depth: Bits of a sample, 16 or 24.
        tags: Such as ``title`` and ``comment``; a comment can hold the scene, seed and hashes.

    Raises:
        UsageError: An unknown kind, depth or tag, or numbers that the kind cannot hold.
        ComposeError: The file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        rate: int,
        channels: int,
        *,
        depth: int = 24,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        import soundfile

        self.path = Path(path)
        kind = self.check(path, rate, channels, depth=depth, tags=tags)
        self.rate, self.channels, self.frames = rate, channels, 0
        self._bytes, self._flac = depth // 8, kind == "FLAC"
        try:
            self._file: Any = soundfile.SoundFile(
                str(self.path), "w", rate, channels, _DEPTHS[depth], format=kind
            )
            for name, text in (tags or {}).items():
                setattr(self._file, name, text)
        except (RuntimeError, TypeError, OSError) as error:
            raise ComposeError("a sound cannot be written", got=f"{path}: {error}") from error

    @staticmethod
    def check(
        path: str | Path,
        rate: int,
        channels: int,
        *,
        depth: int = 24,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """The kind of a file that could be recorded so; nothing is opened.

        Raises:
            UsageError: See the class.
        """
        kind = _KINDS.get(Path(path).suffix.lower())
        most = 8 if kind == "FLAC" else 1024
        wrong = sorted(set(tags or {}) - set(_TAGS))
        if kind is None or depth not in _DEPTHS or not 1 <= channels <= most or wrong or rate < 1:
            raise UsageError(
                "a sound cannot be recorded so",
                got=f"{Path(path).name}, {channels} channels, {depth} bits, {rate} Hz, "
                f"tags {sorted(tags or {})}",
                expected=f".wav or .flac; 1 to {most} channels; 16 or 24 bits; "
                f"tags among {', '.join(_TAGS)}",
            )
        return kind

    def write(self, piece: Tensor) -> None:
        """Append (C, n), or (n,) to one channel; values beyond 1 are cut to it.

        Raises:
            ShapeError: Other channels, or values that are no numbers.
            ComposeError: The file is closed or too long for WAV, or the disk is full; what was
                written before stays whole.
        """
        piece = piece[None] if piece.dim() == 1 else piece
        if piece.dim() != 2 or piece.shape[0] != self.channels or not piece.is_floating_point():
            raise ShapeError(
                "this piece does not belong to the sound",
                got=f"{piece.dtype} {tuple(piece.shape)}",
                expected=f"float ({self.channels}, n)",
            )
        if not bool(piece.isfinite().all()):
            raise ShapeError("a piece holds values that are no numbers", got="NaN or infinity")
        if self._file.closed:
            raise ComposeError("the sound is closed", got=self.path)
        after = self.frames + piece.shape[1]
        if not self._flac and after * self.channels * self._bytes > _WAV_LIMIT:
            raise ComposeError(
                "a WAV file holds no more than 4 GiB", got=self.path, remedy="write .flac"
            )
        try:
            self._file.write(piece.detach().clamp(-1, 1).T.cpu().float().numpy())
            self._file.flush()
            self.frames = after
            if self._flac:
                self._tell_length()
        except (RuntimeError, OSError) as error:
            raise ComposeError(
                "a sound cannot be written", got=f"{self.path}: {error}", remedy="free some space"
            ) from error

    def _tell_length(self) -> None:
        """Put the number of samples in whole blocks into the header of a FLAC file."""
        with self.path.open("r+b") as file:
            file.seek(_BLOCKS_AT)
            (block,) = struct.unpack(">H", file.read(2))
            # The encoder keeps a block until it has seen a sample of the next one.
            there = max(0, self.frames - 1) // block * block if block else 0
            file.seek(_LENGTH_AT)
            (word,) = struct.unpack(">Q", file.read(8))
            file.seek(_LENGTH_AT)
            file.write(struct.pack(">Q", word >> 36 << 36 | there))

    def close(self) -> None:
        """Finish the file; more than once does no harm.

        Raises:
            ComposeError: The disk is full.
        """
        try:
            self._file.close()
        except (RuntimeError, OSError) as error:
            raise ComposeError(
                "a sound cannot be finished", got=f"{self.path}: {error}"
            ) from error

    def __enter__(self) -> Self:
        """The recorder itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file, also after an error: what was written stays."""
        self.close()
