"""The colours of classes in a segmentation that a ControlNet follows."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from compose_core.controls.skeleton import Colour, plain
from compose_core.errors import UsageError

__all__ = ["Palette"]

_GOLDEN = 0.618033988749895


@final
@dataclass(frozen=True)
class Palette:
    """Colours by class.

    Attributes:
        classes: RGB by name, in the order of label numbers from 1 on. Without any, every label
            number has a hue of its own and names say nothing.
    """

    classes: Mapping[str, Colour] = field(default_factory=dict[str, Colour])

    def of_number(self, label: int) -> Colour:
        """The colour of a label number; 0 is black: nothing is said there.

        Raises:
            UsageError: There are not as many classes.
        """
        if label <= 0:
            return (0, 0, 0)
        if not self.classes:
            r, g, b = colorsys.hsv_to_rgb((label * _GOLDEN) % 1.0, 0.85, 1.0)
            return (round(255 * r), round(255 * g), round(255 * b))
        if label > len(self.classes):
            raise UsageError(
                "a label number has no colour",
                got=label,
                expected=f"1 to {len(self.classes)}: {', '.join(self.classes)}",
            )
        return list(self.classes.values())[label - 1]

    def of_words(self, number: int, *texts: str) -> Colour:
        """The colour of the class that a text names, the last one named in the first text.

        Args:
            number: Used where there are no classes.
            texts: A phrase, then other names of the same thing.

        Raises:
            UsageError: None of the texts names a class.
        """
        if not self.classes:
            return self.of_number(number)
        known = {plain(name): colour for name, colour in self.classes.items()}
        for text in texts:
            words = f" {plain(text)} "
            found = [(words.rfind(f" {name} "), name) for name in known]
            place, name = max(found)
            if place >= 0:
                return known[name]
        raise UsageError(
            "a layer names no class that the ControlNet knows",
            got=" / ".join(repr(text) for text in texts if text),
            expected="one of " + ", ".join(self.classes),
            remedy="name it in the prompt of the layer, or give the layer segments",
        )
