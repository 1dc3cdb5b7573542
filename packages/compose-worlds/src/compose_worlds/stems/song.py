"""What a song is, and songs by number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compose_core.errors import UsageError
from compose_worlds.dice import Dice
from compose_worlds.stems import patterns
from compose_worlds.stems.theory import LOOPS, MODES, NAMES, triad

STEMS = ("bass", "drums", "guitar", "piano")
"""The four stems, in the order of every tensor of stems."""

SLOWEST, FASTEST = 84.0, 144.0
"""Tempi in beats a minute; less than an octave, so that a tempo has one reading."""

STEPS = 16
"""Sixteenths in a bar of four beats."""

_OPENING = ("intro", "verse", "chorus", "verse", "chorus", "bridge", "chorus")
_ROUND = ("verse", "chorus", "bridge", "chorus")
_BARS = {"intro": 4, "verse": 8, "chorus": 8, "bridge": 4}
_SILENT: dict[str, tuple[tuple[str, ...], ...]] = {
    "intro": (("bass",), ("drums",), ("guitar", "drums"), ("piano",)),
    "verse": ((), ("guitar",), ("piano",), ()),
    "chorus": ((),),
    "bridge": (("drums",), ("guitar",), ("bass",), ("piano",)),
}


@dataclass(frozen=True)
class Section:
    """A stretch of a song.

    Attributes:
        kind: intro, verse, chorus or bridge; sections of a kind play the same notes.
        start, bars: first bar and number of bars.
        loop: degree of the chord of each bar, over and over.
        silent: stems that rest.
    """

    kind: str
    start: int
    bars: int
    loop: tuple[int, ...]
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Song:
    """Key, tempo, form and sound of a song; the same in all of its sections.

    Attributes:
        seed: decides the melody and the accents.
        tonic: pitch class of the key.
        mode: a name of `theory.MODES`.
        tempo: beats a minute; four beats a bar.
        sections: in time, without gaps.
        patches: number of the sound of each stem, see `voices.PATCHES`.
        grooves: number of the pattern of each stem, see `patterns.GROOVES`.
    """

    seed: int
    tonic: int
    mode: str
    tempo: float
    sections: tuple[Section, ...]
    patches: tuple[int, int, int, int] = (0, 0, 0, 0)
    grooves: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        """Refuse what cannot be played."""
        if self.mode not in MODES or not 0 <= self.tonic < 12 or not 20 <= self.tempo <= 400:
            raise UsageError(
                "no such song",
                got=f"tonic {self.tonic}, mode {self.mode}, {self.tempo} beats a minute",
                expected=f"tonic 0 ... 11, mode in {tuple(MODES)}, 20 to 400 beats a minute",
            )

    @property
    def key(self) -> str:
        """Its name, such as ``A minor``."""
        return f"{NAMES[self.tonic]} {self.mode}"

    @property
    def bars(self) -> int:
        """How many."""
        return sum(section.bars for section in self.sections)

    @property
    def step(self) -> float:
        """Seconds of a sixteenth."""
        return 15.0 / self.tempo

    @property
    def seconds(self) -> float:
        """How long it is; last notes may ring on."""
        return self.bars * STEPS * self.step

    def chord(self, section: Section, bar: int) -> tuple[int, int, int]:
        """Pitch classes of the chord of a bar, counted within its section."""
        return triad(self.tonic, self.mode, section.loop[bar % len(section.loop)])


def draw(seed: int, seconds: float = 120.0) -> Song:
    """Song number ``seed``, at least ``seconds`` long: whole sections are added until it is.

    A longer song of the same number begins with the shorter one.

    Raises:
        UsageError: The duration is not positive.
    """
    if not (0 < seconds < 86_400):
        raise UsageError("no duration of a song", got=seconds, expected="up to a day, in seconds")
    dice = Dice(seed, 0)
    mode = dice.choice(tuple(MODES))
    tonic = dice.below(12)
    tempo = dice.uniform(SLOWEST, FASTEST)
    patches = tuple(dice.below(patterns.SOUNDS) for _ in STEMS)
    grooves = tuple(dice.below(len(patterns.GROOVES[stem])) for stem in STEMS)
    verse, chorus = dice.below(len(LOOPS[mode])), dice.below(len(LOOPS[mode]) - 1)
    chorus += chorus >= verse  # another loop than the verse's
    loops = {"verse": LOOPS[mode][verse], "chorus": LOOPS[mode][chorus]}
    loops |= {"intro": loops["verse"], "bridge": loops["chorus"]}
    silent = {kind: dice.choice(options) for kind, options in _SILENT.items()}
    needed = math.ceil(seconds * tempo / 60 / 4)
    sections: list[Section] = []
    start = 0
    while start < needed:
        count = len(sections)
        later = _ROUND[(count - len(_OPENING)) % len(_ROUND)]
        kind = _OPENING[count] if count < len(_OPENING) else later
        sections.append(Section(kind, start, _BARS[kind], loops[kind], silent[kind]))
        start += _BARS[kind]
    return Song(
        seed=seed,
        tonic=tonic,
        mode=mode,
        tempo=tempo,
        sections=tuple(sections),
        patches=(patches[0], patches[1], patches[2], patches[3]),
        grooves=(grooves[0], grooves[1], grooves[2], grooves[3]),
    )
