"""Other ways to use the two models of RealCompo: one alone, or both blended by another rule."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch

from compose_benchmarks.baselines.blends import SaliencyBlend
from compose_core.denoiser import Bound, Denoiser, Guided, Switched
from compose_core.errors import UsageError
from compose_core.method import Method, Plan, latent_shape
from compose_core.noise import Generators
from compose_core.regional import RegionalMethod
from compose_core.scene import Scene
from compose_realcompo.balancer import Balancer, Branch
from compose_realcompo.guidance import STRENGTH, Guidance
from compose_realcompo.method import RealCompoMethod
from compose_realcompo.options import Options
from compose_realcompo.planner import told

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = [
    "Alone",
    "Balanced",
    "Blended",
    "EqualShares",
    "GligenMethod",
    "LayoutGuidanceMethod",
    "PerBoxMethod",
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


class Alone(Blended):
    """The spatially aware model alone."""

    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """Its denoiser."""
        return branches[-1].denoiser


class Balanced(Blended):
    """The balance of RealCompo."""

    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """Shares that move."""
        return Balancer(branches, self._inner.options)


class EqualShares(Blended):
    """Equal shares throughout, after the same beginning: RealCompo without its balancer."""

    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """A balance that does not move."""
        start = self._inner.options.start
        return Balancer(branches, Options(start=start, dynamic=False))


@final
class GligenMethod(Alone):
    """GLIGEN alone."""

    name: ClassVar[str] = "gligen"
    summary: ClassVar[str] = "phrases in boxes by gated self-attention, alone (GLIGEN)"


@final
class StaticBlendMethod(EqualShares):
    """The text-to-image model and GLIGEN at equal shares."""

    name: ClassVar[str] = "static-blend"
    summary: ClassVar[str] = "the two models of RealCompo at equal, fixed shares"


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

    def __init__(self, strength: float = STRENGTH, until: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.strength, self.until = strength, until

    def rule(self, branches: tuple[Branch, ...]) -> Denoiser:
        """See `Guidance`."""
        text = branches[0]
        return Guidance(text.denoiser, text.listener, strength=self.strength, until=self.until)


@final
class PerBoxMethod(Method):
    """Each object drawn in its box by its own prompt, then the whole by all words.

    After LLM-grounded diffusion (Lian et al. 2024, arXiv 2305.13655), whose second stage lays out
    objects that were denoised alone and then lets the model go on with the whole prompt. Here the
    objects are denoised together, each in its box (`regional`), instead of one after the other.

    Args:
        until: Share of the steps in which objects are drawn by their own prompts.
    """

    name: ClassVar[str] = "per-box"
    summary: ClassVar[str] = "each object in its box, then the whole prompt (as LMD)"
    accepts: ClassVar[frozenset[str]] = RegionalMethod.accepts - {"wrap"}
    needs: ClassVar[frozenset[str]] = frozenset({"box|mask"})

    def __init__(self, until: float = 0.5) -> None:
        if not 0 < until < 1:
            raise UsageError(
                "until is a share of the steps", got=until, expected="between 0 and 1"
            )
        self.until = until
        self._first = RegionalMethod(bootstrap=min(0.8, until))

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
        """See `RegionalMethod.plan`."""
        plan = self._first.plan(
            scene, model, device=device, generator=generator, guidance=guidance, steps=steps
        )
        said = told(scene, absent="append", padding=0.0)
        cond, uncond = (
            Bound(model.network, model.text.encode(text).to(device))
            for text in (said.prompt, said.negative)
        )
        whole = cond if guidance == 1 else Guided(cond, uncond, guidance)
        both = Switched([plan.denoiser, whole], [0.0, self.until])
        return Plan(denoiser=both, shape=plan.shape, warnings=plan.warnings)
