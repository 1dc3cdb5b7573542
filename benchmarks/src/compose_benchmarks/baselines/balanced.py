"""Other ways to use the two models of RealCompo: one alone, or both blended by another rule."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch

from compose_benchmarks.baselines.blends import Guidance, SaliencyBlend
from compose_core.denoiser import Denoiser
from compose_core.method import Method, Plan, latent_shape
from compose_core.noise import Generators
from compose_core.scene import Scene
from compose_realcompo.balancer import Balancer, Branch
from compose_realcompo.method import RealCompoMethod
from compose_realcompo.options import Options
from compose_realcompo.planner import told

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = [
    "GligenMethod",
    "LayoutGuidanceMethod",
    "SaliencyBlendMethod",
    "StaticBlendMethod",
]


class Blended(Method):
    """The branches of RealCompo under another rule.

    Args:
        options: Of `RealCompoMethod`.
    """

    accepts: ClassVar[frozenset[str]] = RealCompoMethod.accepts
    needs: ClassVar[frozenset[str]] = frozenset({"box|mask|keypoints|segments"})

    def __init__(self, **options: Any) -> None:
        self._inner = RealCompoMethod(**options)

    @property
    def adapters(self) -> tuple[Any, ...]:
        """See `RealCompoMethod.adapters`."""
        return self._inner.adapters

    @torch.no_grad()
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
        """See `RealCompoMethod.plan`."""
        shape = latent_shape(scene, model)
        said = told(scene, absent=self._inner.absent, padding=self._inner.padding)
        parts = self._inner.parts(said, model, shape[1:], device=device, guidance=guidance)
        remarks = dict.fromkeys((*said.remarks, *parts.remarks))
        return Plan(denoiser=self.rule(parts.branches), shape=shape, warnings=tuple(remarks))

    @abstractmethod
    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """The composition of the branches, of which the last is the spatial one."""


@final
class GligenMethod(Blended):
    """The spatially aware model alone."""

    name: ClassVar[str] = "gligen"
    summary: ClassVar[str] = "phrases in boxes by gated self-attention, alone (GLIGEN)"

    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """Its denoiser."""
        return branches[-1].denoiser


@final
class StaticBlendMethod(Blended):
    """Equal shares throughout, after the same beginning: RealCompo without its balancer."""

    name: ClassVar[str] = "static-blend"
    summary: ClassVar[str] = "the two models of RealCompo at equal, fixed shares"

    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """A balance that does not move."""
        start = self._inner.options.start
        return Balancer(branches, Options(start=start, dynamic=False))


@final
class SaliencyBlendMethod(Blended):
    """In each pixel the model that guidance moves more, as in MagicFusion."""

    name: ClassVar[str] = "saliency-blend"
    summary: ClassVar[str] = "in each pixel the model that guidance moves more (MagicFusion)"

    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """See `SaliencyBlend`."""
        return SaliencyBlend(branches, start=self._inner.options.start)


@final
class LayoutGuidanceMethod(Blended):
    """The text-to-image model alone, its attention pulled into the boxes while denoising."""

    name: ClassVar[str] = "layout-guidance"
    summary: ClassVar[str] = "attention pulled into boxes, without training (layout guidance)"

    def __init__(self, strength: float = 30.0, until: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.strength, self.until = strength, until

    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """See `Guidance`."""
        return Guidance(branches[0], strength=self.strength, until=self.until)
