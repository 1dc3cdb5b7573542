"""Other ways to compose views, over the graphs that `cgi` makes of scenes.

All hear the same words through the same views; only what becomes of the answers differs.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, final

import torch

from compose_benchmarks.baselines.apart import taken_apart
from compose_benchmarks.baselines.synced import Synced
from compose_cgi.inference import Inference
from compose_cgi.method import CGIMethod
from compose_cgi.tasks.layout import Composition
from compose_core import zoo
from compose_core.denoiser import Denoiser
from compose_core.method import Method, Plan, too_long
from compose_core.noise import Generators
from compose_core.scene import Scene
from compose_core.scene.remarks import doubled
from compose_worlds.judge import JudgeNet

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = [
    "DiffCollageMethod",
    "Kappa50Method",
    "Kappa70Method",
    "Kappa85Method",
    "MultiDiffusionMethod",
    "SameNoiseMethod",
    "SharedNoiseMethod",
    "SpotDiffusionMethod",
    "SyncDiffusionMethod",
    "ViewsApartMethod",
    "WholeAloneMethod",
]

JUDGE = "judge-tiny"
"""The network whose features `syncdiffusion` compares."""


class _Views(Method):
    """Options of `CGIMethod` under a name of their own."""

    accepts: ClassVar[frozenset[str]] = CGIMethod.accepts
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, **options: Any) -> None:
        self.inner = CGIMethod(**{**self.options, **options})

    @property
    def adapters(self) -> tuple[Any, ...]:
        """See `CGIMethod.adapters`."""
        return self.inner.adapters

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
        """See `CGIMethod.plan`."""
        return self.inner.plan(
            self.told(scene),
            model,
            device=device,
            generator=generator,
            guidance=guidance,
            steps=steps,
        )

    def told(self, scene: Scene) -> Scene:
        """The scene as the method hears it."""
        return scene


@final
class MultiDiffusionMethod(_Views):
    """Views averaged where they overlap (Bar-Tal et al. 2023, arXiv 2302.08113)."""

    name: ClassVar[str] = "multidiffusion"
    summary: ClassVar[str] = "views averaged where they overlap (MultiDiffusion)"
    options: ClassVar[dict[str, Any]] = {"kappa": 1.0}


@final
class Kappa50Method(_Views):
    """CGI under half of the penalty at which no step size moves."""

    name: ClassVar[str] = "cgi-kappa-50"
    summary: ClassVar[str] = "cgi under a penalty of 0.5, at which step sizes move most"
    options: ClassVar[dict[str, Any]] = {"kappa": 0.5}


@final
class Kappa70Method(_Views):
    """CGI under a penalty of 0.7."""

    name: ClassVar[str] = "cgi-kappa-70"
    summary: ClassVar[str] = "cgi under a penalty of 0.7"
    options: ClassVar[dict[str, Any]] = {"kappa": 0.7}


@final
class Kappa85Method(_Views):
    """CGI under a penalty of 0.85."""

    name: ClassVar[str] = "cgi-kappa-85"
    summary: ClassVar[str] = "cgi under a penalty of 0.85"
    options: ClassVar[dict[str, Any]] = {"kappa": 0.85}


@final
class SharedNoiseMethod(_Views):
    """CGI whose canvases start from the same noise."""

    name: ClassVar[str] = "cgi-shared-noise"
    summary: ClassVar[str] = "cgi whose background and objects start from the same noise"
    options: ClassVar[dict[str, Any]] = {"task": "scene", "noise": "shared"}
    needs: ClassVar[frozenset[str]] = frozenset({"box|mask"})


@final
class DiffCollageMethod(_Views):
    """Views minus their overlaps (Zhang et al. 2023, arXiv 2303.17076)."""

    name: ClassVar[str] = "diffcollage"
    summary: ClassVar[str] = "views minus their overlaps (DiffCollage)"
    options: ClassVar[dict[str, Any]] = {"task": "panorama", "merge": "factor"}


@final
class SpotDiffusionMethod(_Views):
    """Views side by side that move between steps (Frolov et al. 2024, arXiv 2407.15507)."""

    name: ClassVar[str] = "spotdiffusion"
    summary: ClassVar[str] = "views side by side that move between steps (SpotDiffusion)"
    options: ClassVar[dict[str, Any]] = {"task": "panorama", "shift": True, "kappa": 1.0}


@final
class WholeAloneMethod(_Views):
    """The whole as its keypoints say, without views of its details."""

    name: ClassVar[str] = "whole-alone"
    summary: ClassVar[str] = "a figure without views of its details"
    needs: ClassVar[frozenset[str]] = frozenset({"keypoints"})
    options: ClassVar[dict[str, Any]] = {"task": "figure"}

    def told(self, scene: Scene) -> Scene:
        """Without the words of layers, which are for details."""
        bare = [layer.model_copy(update={"prompt": None}) for layer in scene.layers]
        return scene.model_copy(update={"layers": tuple(bare)})


class _Other(_Views):
    """Another rule over the graph."""

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
        """See `CGIMethod.plan`."""
        made = self.inner.composition(scene, model, device=device, guidance=guidance)
        made = self.changed(made)
        lines = (*too_long(scene, model.text), *made.remarks, *doubled(scene))
        return Plan(
            denoiser=self.rule(made, model, steps),
            shape=(model.channels, *made.graph.spatial),
            wrap=(False, scene.wrap),
            warnings=tuple(dict.fromkeys(lines)),
            picture=made.picture,
            beside=made.beside,
            start=made.start,
        )

    def changed(self, made: Composition) -> Composition:
        """Another graph."""
        return made

    @abstractmethod
    def rule(self, made: Composition, model: Model, steps: int) -> Denoiser:
        """The denoiser of the graph."""


@final
class ViewsApartMethod(_Other):
    """Every view on a canvas of its own, and the picture pasted from them.

    Overlaps are of no use here: views of a panorama share a quarter, so that there are fewer.
    """

    name: ClassVar[str] = "views-apart"
    summary: ClassVar[str] = "every view drawn by itself, and the picture pasted from them"
    options: ClassVar[dict[str, Any]] = {"kappa": 1.0, "overlap": 0.25}

    def changed(self, made: Composition) -> Composition:
        """See `taken_apart`."""
        return taken_apart(made)

    def rule(self, made: Composition, model: Model, steps: int) -> Denoiser:
        """Views that share nothing: the average of one."""
        return Inference(made.graph, self.inner.options)


@final
class SameNoiseMethod(_Other):
    """Background, object and picture drawn by themselves, all from the same noise."""

    name: ClassVar[str] = "same-noise"
    summary: ClassVar[str] = "background, object and picture drawn apart, from the same noise"
    needs: ClassVar[frozenset[str]] = frozenset({"box|mask"})
    options: ClassVar[dict[str, Any]] = {"kappa": 1.0, "task": "scene", "noise": "shared"}

    def changed(self, made: Composition) -> Composition:
        """See `taken_apart`."""
        return taken_apart(made, together=True)

    def rule(self, made: Composition, model: Model, steps: int) -> Denoiser:
        """Views that share nothing: the average of one."""
        return Inference(made.graph, self.inner.options)


@final
class SyncDiffusionMethod(_Other):
    """Views pulled towards the middle one in features (Lee et al. 2023, arXiv 2306.05178).

    Args:
        strength: See `Synced`.
        decay: See `Synced`.
        until: See `Synced`.
        **options: Of `CGIMethod`.
    """

    name: ClassVar[str] = "syncdiffusion"
    summary: ClassVar[str] = "views pulled towards the middle one in features (SyncDiffusion)"
    options: ClassVar[dict[str, Any]] = {"kappa": 1.0, "task": "panorama"}

    def __init__(
        self, strength: float = 20.0, decay: float = 0.95, until: float = 0.25, **options: Any
    ) -> None:
        super().__init__(**options)
        self.pull = {"strength": strength, "decay": decay, "until": until}
        self._judge: JudgeNet | None = None

    @property
    def adapters(self) -> tuple[Any, ...]:
        """And the network whose features are compared."""
        return (*self.inner.adapters, JUDGE)

    def rule(self, made: Composition, model: Model, steps: int) -> Denoiser:
        """See `Synced`."""
        if self._judge is None:
            self._judge = JudgeNet.load(zoo.resolve(JUDGE)).requires_grad_(False)
        return Synced(made.graph, model.codec, self._judge, **self.pull)
