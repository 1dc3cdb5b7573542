"""Data in the formats of the paper: songs of stems, pictures with a position, maps with pictures.

Each class is a `compose_dde.training.Data`: samples by number, the same for the same number, as
the poses of `compose_dde.training` read them. Nothing is written beside the data, and nothing that
could run is read from it.
"""

from typing import TYPE_CHECKING

from compose_core import lazy

if TYPE_CHECKING:
    from compose_dde.data.clevr import ClevrPositions
    from compose_dde.data.components import centres
    from compose_dde.data.maps import PairedMaps, SideBySide
    from compose_dde.data.slakh import STEMS, Slakh, Track

_HOME = {
    "components": ("centres",),
    "clevr": ("ClevrPositions",),
    "maps": ("PairedMaps", "SideBySide"),
    "slakh": ("STEMS", "Slakh", "Track"),
}
__getattr__, __dir__ = lazy.attach(__name__, _HOME)

__all__ = [
    "STEMS",
    "ClevrPositions",
    "PairedMaps",
    "SideBySide",
    "Slakh",
    "Track",
    "centres",
]
