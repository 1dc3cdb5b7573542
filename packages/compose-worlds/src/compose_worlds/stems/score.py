"""The notes of a song, stem by stem."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from compose_worlds.dice import Dice
from compose_worlds.stems import patterns
from compose_worlds.stems.song import STEMS, STEPS, Section, Song
from compose_worlds.stems.theory import MODES, above

_LOWEST = {"bass": 33, "guitar": 45, "chords": 57, "melody": 69}
_SUNG = ("verse", "chorus", "bridge")
"""Sections that have a melody."""
_MOTIF_STEPS = (0, 4, 6, 8, 12, 14, 16, 20, 22, 24, 28)
"""Where a motif of two bars may begin a note."""


class Note(NamedTuple):
    """A note.

    Attributes:
        step: when it begins, in sixteenths from the beginning of the song.
        steps: how long it lasts, in sixteenths.
        pitch: MIDI number; for drums a number of `patterns.HITS`.
        loud: amplitude, 1 is full.
    """

    step: int
    steps: int
    pitch: int
    loud: float


Player = Callable[[Section, int], Iterator[Note]]
"""Plays a bar of a section, counted within it; steps count from the bar's beginning."""


def score(song: Song) -> tuple[tuple[Note, ...], ...]:
    """The notes of each stem of `STEMS`, in time."""
    players: dict[str, Player] = {
        "bass": _bass(song),
        "drums": _drums(song),
        "guitar": _guitar(song),
        "piano": _piano(song),
    }
    return tuple(tuple(sorted(_played(song, stem, players[stem]))) for stem in STEMS)


def _played(song: Song, stem: str, play: Player) -> Iterator[Note]:
    accents = [_accent(song, stem, step) for step in range(STEPS)]
    for section in song.sections:
        for bar in range(section.bars if stem not in section.silent else 0):
            start = (section.start + bar) * STEPS
            for note in play(section, bar):
                loud = note.loud * accents[note.step]
                yield note._replace(step=start + note.step, loud=loud)


def _accent(song: Song, stem: str, step: int) -> float:
    """Loudness of a step: beats count, and each song has its own small habits."""
    own = Dice(song.seed, 1, STEMS.index(stem), step).uniform(-0.08, 0.08)
    return (1.0 if step % 4 == 0 else 0.82) + own


def _bass(song: Song) -> Player:
    struck = patterns.struck(patterns.BASS[song.grooves[0]])

    def play(section: Section, bar: int) -> Iterator[Note]:
        root, _, fifth = song.chord(section, bar)
        low = above(root, _LOWEST["bass"])
        pitches = {"1": low, "5": above(fifth, low), "8": low + 12}
        for step, steps, sign in struck:
            yield Note(step, steps, pitches[sign], 1.0)

    return play


def _drums(song: Song) -> Player:
    kick, snare, hat = patterns.DRUMS[song.grooves[1]]

    def play(section: Section, bar: int) -> Iterator[Note]:
        last = bar == section.bars - 1
        crash = "x" if bar == 0 and section.kind == "chorus" else ""
        for number, pattern in enumerate((kick, patterns.FILL if last else snare, hat, crash)):
            for step, _, _ in patterns.struck(pattern):
                yield Note(step, 1, number, 1.0)

    return play


def _guitar(song: Song) -> Player:
    struck = patterns.struck(patterns.GUITAR[song.grooves[2]])

    def play(section: Section, bar: int) -> Iterator[Note]:
        root, third, fifth = song.chord(section, bar)
        first = above(root, _LOWEST["guitar"])
        strings = (first, above(fifth, first), first + 12, above(third, first + 12))
        for step, steps, sign in struck:
            for pitch in strings if sign == "x" else (strings[int(sign) - 1],):
                yield Note(step, steps, pitch, 1.0)

    return play


def _piano(song: Song) -> Player:
    struck = patterns.struck(patterns.PIANO[song.grooves[3]])
    motifs = {kind: motif(song, kind) for kind in _SUNG}

    def play(section: Section, bar: int) -> Iterator[Note]:
        chord = song.chord(section, bar)
        for step, steps, _ in struck:
            for pitch_class in chord:
                yield Note(step, steps, above(pitch_class, _LOWEST["chords"]), 0.75)
        for step, steps, place in motifs.get(section.kind, ()):
            if step // STEPS == bar % 2:
                pitch = _melody(song, chord, place, last=bar % 4 == 3)
                yield Note(step % STEPS, steps, pitch, 1.0)

    return play


def motif(song: Song, kind: str) -> list[tuple[int, int, int]]:
    """Two bars of melody for a kind of section: step, steps, notes of the scale above the root.

    On heavy beats it stays on the chord's notes (even places), between them it wanders.
    """
    dice = Dice(song.seed, 2, _SUNG.index(kind))
    steps = [s for s in _MOTIF_STEPS if s % STEPS == 0 or dice.happens(0.55)]
    ends = [*steps[1:], 2 * STEPS]
    found: list[tuple[int, int, int]] = []
    place = 2 * dice.below(3)
    for step, end in zip(steps, ends, strict=True):
        move = dice.below(3) - 1
        place = 2 * (place // 2 + move) if step % 8 == 0 else place + move
        place = min(max(place, 0), 4)
        found.append((step, min(end - step, 6), place))
    return found


def _melody(song: Song, chord: tuple[int, int, int], place: int, *, last: bool) -> int:
    """The pitch ``place`` notes of the scale above the chord's root; a phrase ends lower."""
    steps = MODES[song.mode]
    degree = steps.index((chord[0] - song.tonic) % 12)
    wanted = song.tonic + steps[(degree + place) % 7]
    return above(wanted % 12, _LOWEST["melody"] - (5 if last else 0))
