"""An object in a region, before a place: layered scenes as `cgi` takes them apart.

Nothing tells a model where in its picture the object should be, but that the region is all of its
canvas that is seen. Regions are therefore larger than the objects, as masks are that people draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator

from compose_benchmarks.items import SIDE, Item
from compose_benchmarks.suite import Source, boxes

__all__ = ["EXTENTS", "write"]

EXTENTS = (36, 44)
"""Least and greatest side of a region, in pixels; a multiple of `GRAIN`."""

GRAIN = 4
"""Pixels of a latent cell of sd-tiny, at which regions begin and end."""

TOP = (12, 18)
"""Rows in which regions begin: above the horizon, so that they reach from there to the ground."""


def write(number: int, source: Source) -> Sequence[Item]:
    """One item: the place everywhere, and the object in a region drawn from the scene's number."""
    (made,) = boxes(number, source)
    dice = Generator().manual_seed(source.number)

    def between(low: int, high: int) -> int:
        cells = torch.randint(-(-low // GRAIN), high // GRAIN + 1, (), generator=dice)
        return int(cells) * GRAIN

    width, height = between(*EXTENTS), between(*EXTENTS)
    left, top = between(0, SIDE - width), between(*TOP)
    bottom = min(top + height, SIDE)
    region = (left / SIDE, top / SIDE, (left + width) / SIDE, bottom / SIDE)
    place, thing = made.scene.layers
    layers = (place, thing.model_copy(update={"box": region}))
    return (replace(made, scene=made.scene.model_copy(update={"layers": layers})),)
