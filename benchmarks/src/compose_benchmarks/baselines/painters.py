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


def _method(name: str, painter: str, summary: str) -> type[_PainterMethod]:
    """A method that is a painter of the zoo and nothing else."""
    said = {"__doc__": f"{summary[0].upper()}{summary[1:]}.", "__module__": __name__}
    return type(painter, (_PainterMethod,), {**said, "name": name, "painter": painter,
                                             "summary": summary})  # fmt: skip


TlamSparseMethod = _method(
    "tlam-sparse", "tlam-tiny-sparse", "TLAM, half of the labels missing while it learned"
)
ClamMethod = _method("clam", "clam-tiny", "labels merged without seeing each other (CLAM)")
ClamSparseMethod = _method(
    "clam-sparse", "clam-tiny-sparse", "CLAM, half of the labels missing while it learned"
)
AsapNaiveMethod = _method("asap-naive", "asap-naive-tiny", "ASAP-Net on labels side by side")
AsapNaiveSparseMethod = _method(
    "asap-naive-sparse",
    "asap-naive-tiny-sparse",
    "the same, half of the labels missing while it learned",
)
AsapSemanticMethod = _method("asap-semantic", "asap-semantic-tiny", "ASAP-Net on semantics alone")
SpadeMethod = _method("spade", "spade-tiny", "SPADE on semantics alone")
SpadeNaiveMethod = _method("spade-naive", "spade-naive-tiny", "SPADE on labels side by side")
