"""Uni-ControlNet (Zhao et al. 2023, arXiv 2305.16322): one depth map, one exemplar for all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast, final

import torch
from torch import Tensor

from compose_benchmarks.baselines.merged import one_exemplar, one_map
from compose_benchmarks.baselines.steered import Steered, Told
from compose_cnc.exemplars import ExemplarEncoder, as_picture
from compose_cnc.network import CnCNetwork
from compose_cnc.planner import adapter_for, network_for, ready
from compose_core.denoiser import Network
from compose_core.encoded import Encoded
from compose_core.errors import WeightsError
from compose_core.scene import Scene

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["UniControlNetMethod"]


@final
class UniControlNetMethod(Steered):
    """The scene's prompt, one map merged of all depths, and one exemplar heard everywhere.

    The exemplar is that of the nearest layer that has one; in the foreground of a scene it stands
    for the whole picture, as it did in training. On the unconditional side it is missing, as in
    the published code.
    """

    name: ClassVar[str] = "uni-controlnet"
    summary: ClassVar[str] = "Uni-ControlNet: one map of nearest depth, one exemplar, the prompt"
    accepts: ClassVar[frozenset[str]] = Steered.accepts | {"depth", "exemplar"}
    needs: ClassVar[frozenset[str]] = frozenset({"depth|exemplar"})
    usual: ClassVar[str] = "uni-controlnet-tiny"

    def build(self, folder: Path, model: Model, device: torch.device | str) -> Network:
        """See `Steered.build`."""
        adapter = adapter_for(folder, model, device)
        if adapter.local_fuser is None or adapter.global_fuser is None:
            raise WeightsError(
                "the adapter cannot see both a map and an exemplar",
                got=folder,
                expected="a local and a global fuser",
            )
        self._encoder = adapter.exemplars
        return network_for(model, adapter, "off", "official")

    def told(
        self, network: Network, scene: Scene, device: torch.device | str
    ) -> tuple[Told, Told]:
        """The map on both sides; the exemplar, and on the other side its absence."""
        fused = cast(CnCNetwork, network)
        depth, shown = one_map(scene, self.merge), one_exemplar(scene)
        heard: dict[str, Tensor] = {} if depth is None else {"depth_fg": depth.to(device)}
        if shown is None or self._encoder is None:
            return heard, heard
        seen = cast(ExemplarEncoder, self._encoder).encode(as_picture(shown)).to(device)
        with_it = fused.tokens(seen, "fg")
        without = fused.tokens(torch.zeros_like(seen), "fg")
        return {**heard, "tokens": with_it}, {**heard, "tokens": without}

    def prepared(
        self, network: Network, conditions: list[Encoded], spatial: tuple[int, int]
    ) -> list[Encoded]:
        """See `Steered.prepared`: what the map modulates, keys and values."""
        return ready(cast(CnCNetwork, network), conditions, spatial)
