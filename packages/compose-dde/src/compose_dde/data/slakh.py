"""Slakh2100 as multi-source diffusion models lay it out.

    FOLDER/TrackNNNNN/{bass,drums,guitar,piano}.wav        mono, 22,050 Hz

All tracks are laid end to end and cut into pieces of equal length; a piece begins up to half its
length before or after its place, and is moved back where it would run over the end of its track
(Mariani et al. 2024, arXiv 2302.02257). A stem that is missing is silent.
"""

from __future__ import annotations

import bisect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Literal, final, get_args

import torch
from torch import LongTensor, Tensor

from compose_core.errors import ComposeError, UsageError
from compose_core.train.order import derive
from compose_dde.audio import probe, read_sound, to_mono

__all__ = ["STEMS", "Slakh", "Track", "Unequal"]

STEMS = ("bass", "drums", "guitar", "piano")

Unequal = Literal["drop", "shortest", "pad"]
"""What becomes of a track whose stems differ in length: it is left out, as the loader of the
published models does, cut to the shortest, or filled up with silence to the longest."""


@dataclass(frozen=True)
class Track:
    """One song.

    Attributes:
        folder: Where its stems are.
        stems: Those that are there, by name.
        frames: Samples of each.
    """

    folder: Path
    stems: dict[str, Path]
    frames: int


@final
class Slakh:
    """Pieces of songs: `{"x": (B, 4, frames)}`.

    Args:
        folder: Of one split, such as `slakh2100/train`.
        frames: Samples of a piece; 2^18 in the paper.
        rate: Of all files.
        gain: What samples are multiplied by. The published music models heard everything at
            0.7071: their loader made two channels of one and added them again.
        least: Shortest track in seconds.
        most: Longest track in seconds.
        unequal: See `Unequal`.
        places: Different beginnings of each piece.
        names: Of the stems, in the order of the channels.

    Raises:
        ComposeError: There is no track, a file has another rate, or is damaged.
        UsageError: An argument makes no sense.
    """

    def __init__(
        self,
        folder: str | Path,
        frames: int = 2**18,
        *,
        rate: int = 22_050,
        gain: float = 1.0,
        least: float = 12.0,
        most: float = 640.0,
        unequal: Unequal = "drop",
        places: int = 16,
        names: Sequence[str] = STEMS,
    ) -> None:
        if unequal not in get_args(Unequal) or min(frames, rate, places) < 1 or not names:
            raise UsageError(
                "impossible pieces of songs",
                got=f"unequal={unequal!r}, frames={frames}, rate={rate}, places={places}",
                expected=f"unequal among {', '.join(get_args(Unequal))}; numbers above 0",
            )
        self.frames, self.rate, self.gain, self.places = frames, rate, gain, places
        self.names = tuple(names)
        self._unequal: Unequal = unequal
        self._between = (max(least * rate, frames), most * rate)
        self.tracks = self._found(Path(folder))
        self._ends = list(accumulate(track.frames for track in self.tracks))

    def __len__(self) -> int:
        """Pieces of all tracks, each with `places` beginnings."""
        return self._ends[-1] // self.frames * self.places

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Pieces by number."""
        return {"x": torch.stack([self.piece(int(index)) for index in indices])}

    def piece(self, index: int) -> Tensor:
        """Piece number ``index`` (4, frames).

        Raises:
            IndexError: There is no such piece.
            ComposeError: A file holds values that are no numbers. Stems that are silent or
                clipped are normal here and nothing is said about them.
        """
        track, start = self.place(index)
        return self.gain * self._read(track, start)

    def place(self, index: int) -> tuple[Track, int]:
        """Track of piece number ``index``, and the sample of it where the piece begins."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        item, variant = divmod(index, self.places)
        half = self.frames // 2
        moved = derive(0, "slakh", item, variant) % (2 * half + 1) - half
        middle = min(max(item * self.frames + moved + half, 0), self._ends[-1] - 1)
        number = bisect.bisect_right(self._ends, middle)
        track = self.tracks[number]
        start = middle - half - (self._ends[number] - track.frames)
        return track, min(max(start, 0), track.frames - self.frames)

    def _read(self, track: Track, start: int) -> Tensor:
        out = torch.zeros(len(self.names), self.frames)
        for row, name in enumerate(self.names):
            path = track.stems.get(name)
            if path is None:
                continue
            there = (probe(path).frames or 0) - start
            if there > 0:
                found = read_sound(path, start=start, frames=min(there, self.frames)).samples
                _require_numbers(found, path, start)
                out[row, : found.shape[1]] = to_mono(found)
        return out

    def _found(self, folder: Path) -> list[Track]:
        if not folder.is_dir():
            raise ComposeError(
                "the folder of songs does not exist",
                got=folder,
                expected="a folder of folders with " + ", ".join(f"{n}.wav" for n in self.names),
            )
        left_out: dict[str, int] = {}
        tracks: list[Track] = []
        for path in sorted(p for p in folder.iterdir() if p.is_dir()):
            found, why = self._track(path)
            if found is None:
                left_out[why] = left_out.get(why, 0) + 1
            else:
                tracks.append(found)
        said = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))
        if not tracks:
            raise ComposeError(
                "the folder holds no song",
                got=f"{folder}: {said or 'no folders'}",
                expected="TrackNNNNN/" + ", ".join(f"{n}.wav" for n in self.names),
                remedy="give the folder of one split, such as slakh2100/train",
            )
        if said:
            warnings.warn(f"{folder}: tracks left out: {said}", stacklevel=3)
        return tracks

    def _track(self, folder: Path) -> tuple[Track | None, str]:
        stems = {name: folder / f"{name}.wav" for name in self.names}
        stems = {name: path for name, path in stems.items() if path.is_file()}
        if not stems:
            return None, "without stems"
        known = {name: probe(path) for name, path in stems.items()}
        for name, about in known.items():
            if about.rate != self.rate:
                raise ComposeError(
                    "a stem has another sample rate",
                    got=f"{stems[name]}: {about.rate} Hz",
                    expected=f"{self.rate} Hz",
                    remedy="resample the files, or say rate=",
                )
        lengths = {about.frames or 0 for about in known.values()}
        if len(lengths) > 1 and self._unequal == "drop":
            return None, "with stems of unequal length"
        frames = min(lengths) if self._unequal == "shortest" else max(lengths)
        low, high = self._between
        if frames < low:
            return None, "too short"
        return (Track(folder, stems, frames), "") if frames <= high else (None, "too long")


def _require_numbers(samples: Tensor, path: Path, start: int) -> None:
    # `check_sound` would measure the loudness of every stem of every batch, too.
    if not bool(samples.isfinite().all()):
        lost = int((~samples.isfinite()).sum())
        raise ComposeError(
            "a stem holds values that are no numbers",
            got=f"{path}: NaN or infinity, {lost} of {samples.numel()} from sample {start}",
            expected="finite samples",
            remedy="export the file again, or leave the track out",
        )
