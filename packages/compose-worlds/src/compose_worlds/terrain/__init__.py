"""Endless land: schematic maps and the satellite pictures that belong to them.

The map tells what is where; the picture also depends on the season and on where the light comes
from, which are the same everywhere in one picture and nowhere in the map. So distant parts of a
picture have to agree on what no part of the map says.

The modules are `noise` (the same field in every crop), `land` (what is where), `picture` (the map
and the picture), `places` (by number) and `judge` (season, light and classes of a picture).
"""

from typing import TYPE_CHECKING

from compose_core import lazy

if TYPE_CHECKING:
    from compose_worlds.terrain.judge import Reading, read
    from compose_worlds.terrain.land import CLASSES, Land, Region, region
    from compose_worlds.terrain.picture import SEASONS, Weather, chart, satellite
    from compose_worlds.terrain.places import draw

_HOME = {
    "places": ("draw",),
    "judge": ("Reading", "read"),
    "land": ("CLASSES", "Land", "Region", "region"),
    "picture": ("SEASONS", "Weather", "chart", "satellite"),
}
__getattr__, __dir__ = lazy.attach(__name__, _HOME)

__all__ = [
    "CLASSES",
    "SEASONS",
    "Land",
    "Reading",
    "Region",
    "Weather",
    "chart",
    "draw",
    "read",
    "region",
    "satellite",
]
