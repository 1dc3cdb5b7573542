"""A procedural band of four stems: bass, drums, guitar, piano, with exact labels.

The modules are `theory` (scales, chords, loops), `song` (what a song is, and songs by number),
`patterns` and `score` (the notes that are played), `voices` (how they sound), `render` (stems as
samples), `facts` (what is known of every moment), `cache` (songs on disk), and for judging sound
that somebody else made: `hearing` (key, tempo and chords of a sound) and `coherence` (whether
distant parts of it belong together).
"""

from typing import TYPE_CHECKING

from compose_core import lazy

if TYPE_CHECKING:
    from compose_worlds.stems.coherence import Agreement, agreement
    from compose_worlds.stems.facts import Labels, labels
    from compose_worlds.stems.hearing import Hearing, hear
    from compose_worlds.stems.render import mixed, stems
    from compose_worlds.stems.song import STEMS, Section, Song, draw

_HOME = {
    "coherence": ("Agreement", "agreement"),
    "hearing": ("Hearing", "hear"),
    "facts": ("Labels", "labels"),
    "render": ("mixed", "stems"),
    "song": ("STEMS", "Section", "Song", "draw"),
}
__getattr__, __dir__ = lazy.attach(__name__, _HOME)

__all__ = [
    "STEMS",
    "Agreement",
    "Hearing",
    "Labels",
    "Section",
    "Song",
    "agreement",
    "draw",
    "hear",
    "labels",
    "mixed",
    "stems",
]
