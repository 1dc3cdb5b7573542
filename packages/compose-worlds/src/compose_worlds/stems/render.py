"""A song as samples: four stems, any stretch of it, any sample rate."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_worlds.stems import voices
from compose_worlds.stems.score import Note, score
from compose_worlds.stems.song import STEMS, Song


@final
class Player:
    """Plays stretches of one song at one rate; keeps the sound of each note that it has met.

    Args:
        song: The song.
        rate: Samples in a second.

    Raises:
        UsageError: The rate is below 1000, where hardly a note is left.
    """

    def __init__(self, song: Song, rate: int) -> None:
        if rate < 1000:
            raise UsageError("too few samples in a second", got=rate, expected="1000 or more")
        self.song, self.rate = song, rate
        self.frames = round(song.seconds * rate)
        self._score = score(song)
        self._starts = [
            torch.tensor([self._frame(note.step) for note in notes]) for notes in self._score
        ]
        self._sounds: dict[tuple[int, int, int], Tensor] = {}
        self._reach = round((4 * 16 * song.step + 2) * rate)

    def _frame(self, step: int) -> int:
        return round(step * self.song.step * self.rate)

    def _sound(self, stem: int, note: Note) -> Tensor:
        key = (stem, note.pitch, note.steps)
        if key not in self._sounds:
            patch = self.song.patches[stem]
            if STEMS[stem] == "drums":
                self._sounds[key] = voices.hit(patch, note.pitch, self.rate)
            else:
                seconds = note.steps * self.song.step
                self._sounds[key] = voices.tone(STEMS[stem], patch, note.pitch, seconds, self.rate)
        return self._sounds[key]

    def play(self, start: int = 0, frames: int | None = None) -> Tensor:
        """Stems (4, T) float32 from sample ``start`` on, the same as cut out of the whole song.

        Args:
            start: First sample.
            frames: Their number; by default all that are left.

        Raises:
            UsageError: They are not all within the song.
        """
        frames = self.frames - start if frames is None else frames
        if not (0 <= start and 0 < frames and start + frames <= self.frames):
            raise UsageError(
                "this part is not in the song",
                got=f"samples {start} to {start + frames}",
                expected=f"within 0 to {self.frames}",
                remedy="draw a longer song",
            )
        out = torch.zeros(len(STEMS), frames)
        for stem, notes in enumerate(self._score):
            starts = self._starts[stem]
            first = int(torch.searchsorted(starts, start - self._reach))
            last = int(torch.searchsorted(starts, start + frames))
            for index in range(first, last):
                note = notes[index]
                sound = self._sound(stem, note)
                at = int(starts[index]) - start
                low, high = max(at, 0), min(at + len(sound), frames)
                if low < high:
                    out[stem, low:high].add_(sound[low - at : high - at], alpha=note.loud)
        return out


def stems(song: Song, rate: int = 22_050, start: int = 0, frames: int | None = None) -> Tensor:
    """Stems (4, T) of a song in the order of `STEMS`; see `Player.play`.

    Raises:
        UsageError: The rate is too low, or the samples are not all within the song.
    """
    return Player(song, rate).play(start, frames)


def mixed(played: Tensor) -> Tensor:
    """The sum (..., T) of stems (..., 4, T); songs are made so that it stays within full scale."""
    return played.sum(-2)
