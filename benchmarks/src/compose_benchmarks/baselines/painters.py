"""Table 1 of TLAM as methods: how labels are merged, what paints, what was missing in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from compose_core.method import Method, Plan
from compose_core.noise import Generators
from compose_core.scene import Scene
from compose_tlam.method import TLAMMethod

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = [
    "AsapNaiveMethod",
    "AsapNaiveSparseMethod",
    "AsapSemanticMethod",
    "ClamMethod",
    "ClamSparseMethod",
    "SpadeMethod",
    "SpadeNaiveMethod",
    "TlamSparseMethod",
]


class _PainterMethod(Method):
    """A painter of the zoo.

    Attributes:
        painter: Its id.
    """

    accepts: ClassVar[frozenset[str]] = TLAMMethod.accepts
    painter: ClassVar[str]

    def __init__(self) -> None:
        self._inner = TLAMMethod(self.painter)

    @property
    def adapters(self) -> tuple[str, ...]:
        """The painter."""
        return (self.painter,)

    def plan(
        self,
        scene: Scene,
        model: Model,
        *,
        device: torch.device | str,
        generator: Generators,
        guidance: float,
        steps: int,
    ) -> Plan:
        """See `Method.plan`."""
        return self._inner.plan(
            scene, model, device=device, generator=generator, guidance=guidance, steps=steps
        )


class TlamSparseMethod(_PainterMethod):
    """TLAM, half of the labels missing while it learned."""

    name: ClassVar[str] = "tlam-sparse"
    summary: ClassVar[str] = "TLAM, half of the labels missing while it learned"
    painter: ClassVar[str] = "tlam-tiny-sparse"


class ClamMethod(_PainterMethod):
    """Labels merged without seeing each other (CLAM)."""

    name: ClassVar[str] = "clam"
    summary: ClassVar[str] = "labels merged without seeing each other (CLAM)"
    painter: ClassVar[str] = "clam-tiny"


class ClamSparseMethod(_PainterMethod):
    """CLAM, half of the labels missing while it learned."""

    name: ClassVar[str] = "clam-sparse"
    summary: ClassVar[str] = "CLAM, half of the labels missing while it learned"
    painter: ClassVar[str] = "clam-tiny-sparse"


class AsapNaiveMethod(_PainterMethod):
    """ASAP-Net on labels side by side."""

    name: ClassVar[str] = "asap-naive"
    summary: ClassVar[str] = "ASAP-Net on labels side by side"
    painter: ClassVar[str] = "asap-naive-tiny"


class AsapNaiveSparseMethod(_PainterMethod):
    """The same, half of the labels missing while it learned."""

    name: ClassVar[str] = "asap-naive-sparse"
    summary: ClassVar[str] = "the same, half of the labels missing while it learned"
    painter: ClassVar[str] = "asap-naive-tiny-sparse"


class AsapSemanticMethod(_PainterMethod):
    """ASAP-Net on semantics alone."""

    name: ClassVar[str] = "asap-semantic"
    summary: ClassVar[str] = "ASAP-Net on semantics alone"
    painter: ClassVar[str] = "asap-semantic-tiny"


class SpadeMethod(_PainterMethod):
    """SPADE on semantics alone."""

    name: ClassVar[str] = "spade"
    summary: ClassVar[str] = "SPADE on semantics alone"
    painter: ClassVar[str] = "spade-tiny"


class SpadeNaiveMethod(_PainterMethod):
    """SPADE on labels side by side."""

    name: ClassVar[str] = "spade-naive"
    summary: ClassVar[str] = "SPADE on labels side by side"
    painter: ClassVar[str] = "spade-naive-tiny"
