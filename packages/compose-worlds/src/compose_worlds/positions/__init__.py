"""Small pictures of coloured toys seen from above, each at a known position.

A light stand-in for CLEVR with object positions: `scene` (what is drawn, by number), `pixels` (how
it looks), `judge` (where toys stand in a picture that somebody else made). Positions are fractions
of the picture, x to the right and y down; no position is -1, -1.
"""

from typing import TYPE_CHECKING

from compose_core import lazy

if TYPE_CHECKING:
    from compose_worlds.positions.judge import find
    from compose_worlds.positions.pixels import picture
    from compose_worlds.positions.scene import NOWHERE, Toys, draw, places, stack

_HOME = {
    "judge": ("find",),
    "pixels": ("picture",),
    "scene": ("NOWHERE", "Toys", "draw", "places", "stack"),
}
__getattr__, __dir__ = lazy.attach(__name__, _HOME)

__all__ = ["NOWHERE", "Toys", "draw", "find", "picture", "places", "stack"]
