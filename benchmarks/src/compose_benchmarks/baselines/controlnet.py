"""ControlNet (Zhang et al. 2023, arXiv 2302.05543) on one depth map of all layers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from compose_benchmarks.baselines.merged import one_map
from compose_benchmarks.baselines.steered import Steered, Told, load_part, refuse_base
from compose_core.denoiser import Network
from compose_core.scene import Scene

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["ControlNetMethod", "PastedControlNetMethod"]


class ControlNetMethod(Steered):
    """The scene's prompt, and a ControlNet that sees one map merged of all depths."""

    name: ClassVar[str] = "controlnet"
    summary: ClassVar[str] = "ControlNet on the nearest depth of all layers, and the prompt"
    usual: ClassVar[str] = "controlnet-tiny-depth"

    def build(self, folder: Path, model: Model, device: torch.device | str) -> Network:
        """See `Steered.build`."""
        from diffusers import ControlNetModel

        from compose_core.backbones.unet import ControlledUNet

        unet: Any = model.components["unet"]
        added = load_part(ControlNetModel, folder, unet.dtype, device)
        names = ("in_channels", "block_out_channels", "cross_attention_dim", "layers_per_block")
        halvings = len(added.config["conditioning_embedding_out_channels"]) - 1
        found = {name: added.config[name] for name in names} | {"factor": 2**halvings}
        wanted = {name: unet.config[name] for name in names} | {"factor": model.codec.factor}
        refuse_base(found, wanted, "ControlNet")
        kind = cast(Any, model.network).prediction_type
        return ControlledUNet(unet, added, model.schedule, kind)

    def told(
        self, network: Network, scene: Scene, device: torch.device | str
    ) -> tuple[Told, Told]:
        """The map, on both sides."""
        found = one_map(scene, self.merge)
        heard = {} if found is None else {"control": found.to(device)}
        return heard, heard


class PastedControlNetMethod(ControlNetMethod):
    """The same with layers pasted over one another by z: the map's outlines are in order."""

    name: ClassVar[str] = "controlnet-pasted"
    summary: ClassVar[str] = "ControlNet on the depths of layers pasted by z, and the prompt"

    def __init__(self, adapter: str | os.PathLike[str] | None = None) -> None:
        super().__init__(adapter, "pasted")
