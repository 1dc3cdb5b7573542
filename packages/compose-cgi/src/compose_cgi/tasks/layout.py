"""What a task leads to, and the windows that all tasks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from compose_cgi.graph import Graph
from compose_cgi.shift import Shift, tiles
from compose_core.method import Beside
from compose_core.views import Profile, View, Whole, Window, cover, profile

__all__ = ["Composition", "Space", "psi_of"]


@dataclass(frozen=True, kw_only=True)
class Composition:
    """A graph, and what of it is shown.

    Attributes:
        graph: Canvases and observations.
        shift: Windows that move, if they do.
        picture: How the picture is seen in the sheet.
        beside: More pictures, by name.
        start: What becomes of the first noise.
        remarks: What could not be done as asked, each a sentence.
    """

    graph: Graph
    shift: Shift | None = None
    picture: View = Whole()
    beside: Mapping[str, Beside] = field(default_factory=dict[str, Beside])
    start: Callable[[Tensor], Tensor] | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Space:
    """A canvas of latents, and how a model is led over it.

    Attributes:
        size: (h, w) of the canvas.
        trained: (h, w) that the model was trained on.
        wrap: Whether (rows, columns) are closed.
        overlap: Share of a window that it has in common with the next, 0 to below 1.
        weights: How the trust in a view falls towards its edge.
        moving: Whether windows stand side by side and move between steps.
    """

    size: tuple[int, int]
    trained: tuple[int, int]
    wrap: tuple[bool, bool] = (False, False)
    overlap: float = 0.5
    weights: Profile = "mean"
    moving: bool = False

    @property
    def fits(self) -> bool:
        """Whether the model sees the whole canvas at once."""
        small = all(n <= t for n, t in zip(self.size, self.trained, strict=True))
        return small and not any(self.wrap)

    def windows(self) -> tuple[tuple[Window, ...], Shift | None]:
        """Windows of the size that the model was trained on, and how they move."""
        if self.moving:
            return tiles(self.size, self.trained, self.wrap)
        window = [min(n, t) for n, t in zip(self.size, self.trained, strict=True)]
        stride = [max(round(n * (1 - self.overlap)), 1) for n in window]
        return tuple(cover(self.size, window, stride, self.wrap)), None


def psi_of(weights: Profile, size: Sequence[int], weight: float = 1.0) -> Tensor | float:
    """The noise of an observation with that trust: `psi = trust^(-1/2)`."""
    if weights == "mean":
        return weight**-0.5
    return (profile(weights, size) * weight).rsqrt().to(torch.float64)
