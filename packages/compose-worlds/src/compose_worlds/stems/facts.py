"""What is known of a song at every moment."""

from __future__ import annotations

from dataclasses import dataclass

from compose_worlds.stems.song import STEPS, Song
from compose_worlds.stems.theory import quality


@dataclass(frozen=True)
class Chord:
    """A chord of one bar: its times in seconds, the pitch class of its root, major or minor."""

    start: float
    end: float
    root: int
    quality: str


@dataclass(frozen=True)
class Labels:
    """Times in seconds from the beginning of the song.

    Attributes:
        tonic, mode: the key.
        tempo: beats a minute.
        beats, bars: when each begins.
        chords: one a bar.
        sections: kind, start and end.
    """

    tonic: int
    mode: str
    tempo: float
    beats: tuple[float, ...]
    bars: tuple[float, ...]
    chords: tuple[Chord, ...]
    sections: tuple[tuple[str, float, float], ...]

    def chord_at(self, seconds: float) -> Chord:
        """The chord that sounds at a moment; the first or last one outside of the song."""
        bar = (self.bars[1] - self.bars[0]) if len(self.bars) > 1 else 1.0
        return self.chords[min(max(int(seconds / bar + 1e-9), 0), len(self.chords) - 1)]


def labels(song: Song) -> Labels:
    """All that is known of a song."""
    bar = STEPS * song.step
    chords: list[Chord] = []
    for section in song.sections:
        for number in range(section.bars):
            notes = song.chord(section, number)
            at = (section.start + number) * bar
            chords.append(Chord(at, at + bar, notes[0], quality(notes)))
    return Labels(
        tonic=song.tonic,
        mode=song.mode,
        tempo=song.tempo,
        beats=tuple(i * bar / 4 for i in range(4 * song.bars)),
        bars=tuple(i * bar for i in range(song.bars)),
        chords=tuple(chords),
        sections=tuple((s.kind, s.start * bar, (s.start + s.bars) * bar) for s in song.sections),
    )
