"""Scales, triads and loops of chords, in numbers.

Pitches are MIDI numbers (69 is A at 440 Hz), pitch classes are pitches modulo 12 (0 is C), degrees
count the notes of a scale from 0.
"""

from __future__ import annotations

MODES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
}
"""Semitones above the tonic; minor is the natural one, so each scale is shared by two keys."""

LOOPS: dict[str, tuple[tuple[int, ...], ...]] = {
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 5, 4), (0, 2, 3, 4), (3, 0, 4, 5)),
    "minor": ((0, 5, 2, 6), (0, 6, 5, 6), (0, 3, 5, 6), (0, 5, 6, 4), (0, 2, 6, 3), (5, 6, 0, 2)),
}
"""Four chords, one a bar, as degrees. Each loop sounds all seven notes of its scale."""

NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
"""Names of the pitch classes."""


def frequency(pitch: float) -> float:
    """Of a MIDI pitch in hertz, equal temperament, A = 440."""
    return 440.0 * 2.0 ** ((pitch - 69) / 12)


def scale(tonic: int, mode: str) -> frozenset[int]:
    """The seven pitch classes of a key."""
    return frozenset((tonic + step) % 12 for step in MODES[mode])


def triad(tonic: int, mode: str, degree: int) -> tuple[int, int, int]:
    """Pitch classes of the triad on a degree: root, third, fifth."""
    steps = MODES[mode]
    root, third, fifth = ((tonic + steps[(degree + k) % 7]) % 12 for k in (0, 2, 4))
    return root, third, fifth


def quality(notes: tuple[int, int, int]) -> str:
    """Major or minor, by the third; diminished triads are in no loop."""
    return "major" if (notes[1] - notes[0]) % 12 == 4 else "minor"


def signature(tonic: int, mode: str) -> int:
    """Tonic of the major key with the same notes: the part of a key that a chroma cannot miss."""
    return tonic if mode == "major" else (tonic + 3) % 12


def above(pitch_class: int, low: int) -> int:
    """The lowest pitch of a class that is not below ``low``."""
    return low + (pitch_class - low) % 12
