"""Patterns of a bar, as a tracker writes them: sixteen steps.

``.`` rests, ``-`` holds the note before, anything else begins a note: ``x`` all notes of a chord,
a digit one of them. In the bass 1 is the root, 5 the fifth, 8 the octave; in the guitar the digits
count the strings.
"""

from __future__ import annotations

from typing import NamedTuple

SOUNDS = 3
"""Patches that each stem can have, see `voices`."""

HITS = ("kick", "snare", "hat", "crash")
"""The drums, by number."""

DRUMS: tuple[tuple[str, str, str], ...] = (
    ("x.......x.......", "....x.......x...", "x.x.x.x.x.x.x.x."),
    ("x...x...x...x...", "....x.......x...", "..x...x...x...x."),
    ("x..x..x.x.......", "....x.......x...", "x.x.x.x.x.x.x.x."),
    ("x.....x...x.....", "....x..x....x...", "xxx.xxx.xxx.xxx."),
)
"""Kick, snare and hat."""

FILL = "....x.......xxxx"
"""The snare in the last bar of a section."""

BASS = (
    "1---1---1---5---",
    "1-1-1-1-1-1-1-1-",
    "1-----1-5---8---",
    "1..11..15..51.8.",
)
GUITAR = (
    "x---x-x---x-x-x-",
    "1-2-3-4-3-2-3-2-",
    "....x.......x...",
    "x-x-x-x-x-x-x-x-",
)
PIANO = (
    "x-------x-------",
    "x---x---x---x---",
    "x---------------",
    "x-----x-----x---",
)
GROOVES: dict[str, tuple[object, ...]] = {
    "bass": BASS,
    "drums": DRUMS,
    "guitar": GUITAR,
    "piano": PIANO,
}
"""What a song chooses from, by stem."""


class Struck(NamedTuple):
    """A step of a pattern that begins a note: its place, its length in steps, its sign."""

    step: int
    steps: int
    sign: str


def struck(pattern: str) -> list[Struck]:
    """The notes of a pattern."""
    found: list[Struck] = []
    for step, sign in enumerate(pattern):
        if sign in ".-":
            continue
        held = len(pattern[step + 1 :]) - len(pattern[step + 1 :].lstrip("-"))
        found.append(Struck(step, 1 + held, sign))
    return found
