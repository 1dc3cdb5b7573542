"""What a layout is: phrases of a prompt, each with a box and a place in depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compose_core.errors import SceneError

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the canvas."""

MAX_OBJECTS = 30
"""Most boxes of one layout; more would be too small to be drawn."""

MAX_NAME = 100
"""Longest name of an object, in characters: that of a layer of a scene."""


@dataclass(frozen=True)
class Placed:
    """One object and where it is.

    Attributes:
        phrase: the words of the prompt that speak of it, exactly as they stand there.
        name: what messages and files call it; different for every object of a layout.
        box: left, top, right, bottom as fractions of the canvas.
        z: place in depth; larger is nearer.

    Raises:
        SceneError: the box leaves the canvas or is empty, or a number is not finite.
    """

    phrase: str
    name: str
    box: Box
    z: float = 0.0

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        inside = 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1  # false for NaN, too
        if not inside or not math.isfinite(self.z):
            raise SceneError(
                f"{self.name!r} has no sensible place",
                got=f"box {list(self.box)}, z {self.z}",
                expected="[x0, y0, x1, y1] with 0 <= x0 < x1 <= 1, 0 <= y0 < y1 <= 1; a finite z",
                remedy="give the left, top, right and bottom edge as fractions of the canvas",
            )

    @property
    def centre(self) -> tuple[float, float]:
        """Of the box, in fractions of the canvas."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2


@dataclass(frozen=True)
class Layout:
    """A prompt and where its objects are.

    Attributes:
        prompt: the whole picture in words.
        objects: 1 to `MAX_OBJECTS` of them, in the order of the prompt.

    Raises:
        SceneError: there are too few or too many objects, two of them have the same name, or the
            phrase of one does not occur in the prompt.
    """

    prompt: str
    objects: tuple[Placed, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.objects) <= MAX_OBJECTS:
            raise SceneError(
                "a layout needs some objects, but not too many",
                got=f"{len(self.objects)} objects",
                expected=f"1 to {MAX_OBJECTS}",
            )
        names = [placed.name for placed in self.objects]
        for place, placed in enumerate(self.objects):
            if not placed.phrase.strip() or placed.phrase not in self.prompt:
                raise SceneError(
                    "a phrase of the layout does not occur in its prompt",
                    got=repr(placed.phrase),
                    expected=f"words of {self.prompt!r}",
                )
            if placed.name in names[:place]:
                raise SceneError(
                    "two objects of the layout have the same name",
                    got=repr(placed.name),
                    expected="a different name for each",
                )


def area(box: Box) -> float:
    """Share of the canvas that a box covers."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def shared(a: Box, b: Box) -> float:
    """Share of the canvas that both boxes cover; 0 when they only touch."""
    both = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    return area(both)


def rounded(box: Box) -> Box:
    """The box to four decimals; the order of edges is kept, so what did not overlap does not."""
    x0, y0, x1, y1 = (round(float(edge), 4) for edge in box)
    return x0, y0, x1, y1


def distinct(names: list[str]) -> list[str]:
    """The names with numbers after those that occur more than once, none longer than allowed."""
    cut = [name[: MAX_NAME - 4].strip() for name in names]
    result: list[str] = []
    for place, name in enumerate(cut):
        chosen, number = name, cut[:place].count(name) + 1
        if cut.count(name) > 1:
            chosen = f"{name} {number}"
        while chosen in result or (chosen != name and chosen in cut):
            number += 1
            chosen = f"{name} {number}"
        result.append(chosen)
    return result
