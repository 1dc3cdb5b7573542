"""Compose and Conquer with edges in the place of depth (Table 4 of its paper)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch

from compose_cnc.method import CnCMethod
from compose_core.method import Method, Plan
from compose_core.noise import Generators
from compose_core.scene import Scene

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["CannyMethod"]


@final
class CannyMethod(Method):
    """`cnc` with an adapter that was trained on edges; what layers give as depth are edges.

    The foreground's edges are not cut by its region: its outline lies half outside.

    Args:
        adapter: Id in the zoo, or a folder.
        options: Further ones of `CnCMethod`.
    """

    name: ClassVar[str] = "cnc-canny"
    summary: ClassVar[str] = "Compose and Conquer on edges, which layers give as their depth"
    accepts: ClassVar[frozenset[str]] = CnCMethod.accepts - {"exemplar"}
    needs: ClassVar[frozenset[str]] = frozenset({"depth"})

    def __init__(self, adapter: str | os.PathLike[str] = "cnc-tiny-canny", **options: Any) -> None:
        self.adapter = adapter
        self._inner = CnCMethod(adapter, **{"cut": False, **options})

    @property
    def adapters(self) -> tuple[str | os.PathLike[str], ...]:
        """See `CnCMethod.adapters`."""
        return self._inner.adapters

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
        """See `CnCMethod.plan`."""
        return self._inner.plan(
            scene, model, device=device, generator=generator, guidance=guidance, steps=steps
        )
