"""What a coordinator is: it hears what a model said of all parts and says it again, together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor, nn

from compose_core.schedule import Level
from compose_dde.domain import Domain

__all__ = ["Coordinator", "Heard"]


@final
@dataclass(frozen=True, eq=False)
class Heard:
    """Everything that a coordinator may look at (the arguments of `C` in Eq. 4).

    Attributes:
        x0: What was said about the parts, `(B, L, C, *window)`.
        x_t: What they looked like, of the same shape; only to translate between `x0` and the
            output of a network.
        level: Of shape `()` or `(B,)`.
        maps: Pictures beside each part, such as where its condition lies,
            `(B or 1, L, E, *window)`.
        context: A picture of the whole that is no part of the object, such as a schematic map,
            `(B or 1, E, *size)`.
        null: For each sample whether its conditions are absent, `(B or 1,)`; None for nowhere.
    """

    x0: Tensor
    x_t: Tensor
    level: Level
    maps: Tensor | None = None
    context: Tensor | None = None
    null: Tensor | None = None


class Coordinator(nn.Module, ABC):
    """A trained network that makes parts of a large object agree."""

    @abstractmethod
    def prepare(self, domain: Domain, like: Tensor) -> Any:
        """What stays the same over a walk: positions, neighbourhoods.

        Args:
            domain: The large object and its parts.
            like: A tensor on the device of the samples.

        Raises:
            ShapeError: The parts do not fit the network.
        """

    @abstractmethod
    def forward(self, heard: Heard, prepared: Any) -> Tensor:
        """What is said after coordination: a new `x0` of each part, `(B, L, C, *window)`.

        It is merged by the caller; where parts overlap they need not agree.
        """
