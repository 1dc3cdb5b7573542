"""What a layer asks for, as typed values: the form between a scene file and encoded tensors.

Conditions are frozen and know nothing of any network. Arrays are read-only numpy, (H, W) or
(H, W, 3); positions are fractions of the canvas, x to the right and y down. Every condition can be
dropped: `drop` gives the `Null` that stands for its absence, which is what classifier-free
training and guidance put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from compose_core.errors import ShapeError
from compose_core.images import Array


class Condition:
    """One thing that a layer asks for; the final classes below are the things there are."""

    @property
    def kind(self) -> str:
        """The lower-case name, as a scene file spells it."""
        return type(self).__name__.lower()

    def drop(self) -> Null:
        """The absence of this condition."""
        return Null(self.kind)


@final
@dataclass(frozen=True)
class Null(Condition):
    """The absence of a condition of kind ``of``."""

    of: str

    @property
    def kind(self) -> str:
        """The kind of the condition that is absent."""
        return self.of

    def drop(self) -> Null:
        """Itself: what is absent cannot be dropped again."""
        return self


@final
@dataclass(frozen=True)
class Text(Condition):
    """A phrase, and what it should not become."""

    phrase: str
    negative: str = ""


@final
@dataclass(frozen=True)
class Box(Condition):
    """A rectangle as fractions of the canvas, with x0 < x1 and y0 < y1."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        """Refuse an empty or inverted box."""
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise ShapeError(
                "a box is empty or inverted",
                got=(self.x0, self.y0, self.x1, self.y1),
                expected="x0 < x1 and y0 < y1",
            )

    def coverage(self, height: int, width: int) -> Array:
        """How much of each cell (height, width) lies inside the box, in [0, 1]."""
        rows = _overlap(self.y0, self.y1, height)
        columns = _overlap(self.x0, self.x1, width)
        return np.outer(rows, columns).astype(np.float32)


def _overlap(low: float, high: float, cells: int) -> NDArray[np.float64]:
    edges = np.arange(cells + 1) / cells
    return np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0, None) * cells


def _read_only(values: NDArray[np.generic], kind: str, ndim: int) -> Any:
    if values.ndim != ndim:
        raise ShapeError(
            f"{kind} has the wrong number of axes", got=values.shape, expected=f"{ndim} axes"
        )
    view = values.view()
    view.flags.writeable = False
    return view


@final
@dataclass(frozen=True, eq=False)
class Mask(Condition):
    """Soft region (H, W): 1 inside, 0 outside."""

    values: Array

    def __post_init__(self) -> None:
        """Keep a read-only view."""
        object.__setattr__(self, "values", _read_only(self.values, "a mask", 2))


@final
@dataclass(frozen=True, eq=False)
class Depth(Condition):
    """Inverse depth (H, W) in [0, 1]: near is 1."""

    values: Array

    def __post_init__(self) -> None:
        """Keep a read-only view."""
        object.__setattr__(self, "values", _read_only(self.values, "a depth", 2))


@final
@dataclass(frozen=True, eq=False)
class Edges(Condition):
    """Edge strength (H, W) in [0, 1]."""

    values: Array

    def __post_init__(self) -> None:
        """Keep a read-only view."""
        object.__setattr__(self, "values", _read_only(self.values, "an edge map", 2))


@final
@dataclass(frozen=True, eq=False)
class Normals(Condition):
    """Unit normals (H, W, 3): x right, y up, z towards the camera."""

    values: Array

    def __post_init__(self) -> None:
        """Keep a read-only view."""
        object.__setattr__(self, "values", _read_only(self.values, "a normal map", 3))


@final
@dataclass(frozen=True, eq=False)
class Exemplar(Condition):
    """A picture of what the layer should look like: colours (H, W, 3) in [0, 1], any size."""

    values: Array

    def __post_init__(self) -> None:
        """Keep a read-only view."""
        object.__setattr__(self, "values", _read_only(self.values, "an exemplar", 3))


@final
@dataclass(frozen=True, eq=False)
class Segments(Condition):
    """Label number of each pixel (H, W)."""

    values: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Keep a read-only view."""
        object.__setattr__(self, "values", _read_only(self.values, "segments", 2))


@final
@dataclass(frozen=True, eq=False)
class LabelMap(Condition):
    """Any other labels per pixel, (H, W, channels), under the name of their task."""

    task: str
    values: Array

    def __post_init__(self) -> None:
        """Keep a read-only view."""
        object.__setattr__(self, "values", _read_only(self.values, "a label map", 3))


@final
@dataclass(frozen=True)
class Keypoints(Condition):
    """Named points as fractions of the canvas; a hidden or unknown point is left out."""

    points: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        """Keep a read-only copy."""
        object.__setattr__(self, "points", MappingProxyType(dict(self.points)))


@final
@dataclass(frozen=True)
class Position(Condition):
    """Place of a layer in depth: larger ``z`` is nearer."""

    z: float
