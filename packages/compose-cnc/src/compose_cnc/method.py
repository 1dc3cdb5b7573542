"""`compose run SCENE --method cnc`: a scene with depth and exemplars becomes a denoiser.

Depth says what stands where and in front of what; exemplars say how regions look; prompts of
layers are heard in their regions alone. The paper has one foreground and one background; here a
scene has any number of layers (see `streams`, `looks` and `prompts` for what becomes of them).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast, final

import torch
from torch import nn

from compose_cnc import looks
from compose_cnc.attention import SoftGuidance
from compose_cnc.folder import Adapter
from compose_cnc.guidance import CFG
from compose_cnc.network import CnCNetwork
from compose_cnc.options import Interval, Options, changes, idle
from compose_cnc.planner import Planner, adapter_for, network_for
from compose_cnc.regions import Resize
from compose_core.denoiser import Switched
from compose_core.method import Method, Plan, latent_shape, too_long
from compose_core.noise import Generators
from compose_core.scene import Scene
from compose_core.scene.remarks import doubled

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["ADAPTER", "CnCMethod"]

ADAPTER = "cnc-tiny"
"""The adapter of `sd-tiny`, the model that `compose run` takes by default."""


@final
class CnCMethod(Method):
    """Compose and Conquer over the layers of a scene.

    Args:
        adapter: What is added to the base model: an id of the zoo or a folder, loaded when a scene
            is planned; or a loaded one, on the device of the model.
        soft_guidance: How tokens of exemplars are kept to their regions; see `SoftGuidance`.
        resize: How regions come to the layers of the network; `"area"` for soft masks.
        cfg: What the unconditional side hears; see `guidance.CFG`.
        exemplar_guidance: The scale of exemplars, for `cfg="separate"`.
        lambdas: Factors on the tokens of exemplars, by layer (lambda in the paper); 1 by default.
        intervals: When layers take part, by layer: (start, stop) as shares of the steps. Outside,
            everything is as if the scene had no such layer.
        apart: Share of the steps during which a layer with a prompt is also guided away from the
            prompts of others, as in `compose_core.regional`.
        soften: Blur of the regions of prompts, in latent cells.
        base_share: How much of these regions the scene's prompt keeps.
        cut: Whether the depth of the foreground ends where its region does, as in training.
        always_tokens: Whether a scene without exemplars hears the tokens of missing ones, as in
            the published code; else it hears text alone.

    The weight of a layer multiplies what the clone adds in its region, the tokens of its exemplar
    and its share where prompts mix; 0 takes it out of the scene.

    Raises:
        UsageError: An option makes no sense.
    """

    name: ClassVar[str] = "cnc"
    summary: ClassVar[str] = "objects ordered in depth, looks by exemplar (Compose and Conquer)"
    accepts: ClassVar[frozenset[str]] = frozenset(
        {"prompt", "negative", "box", "mask", "depth", "exemplar", "z", "weight"}
    )
    needs: ClassVar[frozenset[str]] = frozenset({"depth|exemplar"})

    def __init__(
        self,
        adapter: str | os.PathLike[str] | Adapter = ADAPTER,
        *,
        soft_guidance: SoftGuidance = "mask",
        resize: Resize = "official",
        cfg: CFG = "drop_exemplar",
        exemplar_guidance: float = 3.0,
        lambdas: Mapping[str, float] | None = None,
        intervals: Mapping[str, Interval] | None = None,
        apart: float = 0.3,
        soften: float = 0.5,
        base_share: float = 0.0,
        cut: bool = True,
        always_tokens: bool = False,
    ) -> None:
        self.adapter = adapter
        self._loaded: _Loaded | None = None
        self.options = Options(
            soft_guidance=soft_guidance,
            resize=resize,
            cfg=cfg,
            exemplar_guidance=exemplar_guidance,
            lambdas=dict(lambdas or {}),
            intervals=dict(intervals or {}),
            apart=apart,
            soften=soften,
            base_share=base_share,
            cut=cut,
            always_tokens=always_tokens,
        )

    @property
    def adapters(self) -> tuple[str | os.PathLike[str], ...]:
        """The adapter; one that was handed over loaded has no name."""
        return () if isinstance(self.adapter, Adapter) else (self.adapter,)

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
        """See `Method.plan`.

        Raises:
            SceneError: An exemplar has no region, or the canvas does not fit the model.
            UsageError: An option names a layer that is not there.
            WeightsError: The adapter is missing, damaged, or was made for another base model.
        """
        shape = latent_shape(scene, model)
        self.options.check_names(scene)
        phases = changes(scene, self.options.intervals)
        if self.options.soft_guidance != "off":
            for _, present in phases:
                looks.check_exemplars(present)
        adapter, network = self._parts(model, device)
        planner = Planner(self.options, model, adapter, network, shape, device, guidance)
        remarks = [*too_long(scene, model.text), *doubled(scene)]
        remarks += idle(self.options.intervals, steps)
        parts = [planner.denoiser(present) for _, present in phases]
        starts = [start for start, _ in phases]
        denoiser = parts[0] if len(parts) == 1 else Switched(parts, starts)
        found = dict.fromkeys((*remarks, *planner.remarks))
        return Plan(denoiser=denoiser, shape=shape, warnings=tuple(found))

    def _parts(self, model: Model, device: torch.device | str) -> tuple[Adapter, CnCNetwork]:
        """The same objects for every scene, so that questions of several share network calls."""
        unet = cast(nn.Module, model.components["unet"])
        dtype = next(unet.parameters()).dtype
        kept = self._loaded
        if kept is None or kept.unet is not unet or kept.where != (dtype, torch.device(device)):
            adapter = adapter_for(self.adapter, model, device)
            how = self.options
            network = network_for(model, adapter, how.soft_guidance, how.resize)
            kept = _Loaded(unet, (dtype, torch.device(device)), adapter, network)
            self._loaded = kept
        return kept.adapter, kept.network


class _Loaded(NamedTuple):
    """What was loaded last, and for what."""

    unet: nn.Module
    where: tuple[torch.dtype, torch.device]
    adapter: Adapter
    network: CnCNetwork
