"""The network's answer with gradients: what `CnCNetwork.forward` does, for one training stage."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, cast, final

import torch
from torch import Tensor, nn

from compose_cnc import attention, prepare, regions
from compose_cnc.attention import KeyValue
from compose_cnc.model import LocalFuser, Residuals, Stream
from compose_cnc.network import CnCNetwork
from compose_core.encoded import Encoded
from compose_core.errors import UsageError

__all__ = ["Forward", "Stage"]

Stage = Literal["local", "global", "joint"]
"""`"local"`: the local fuser hears depth, and text. `"global"`: the global fuser alone, its tokens
in the frozen UNet. `"joint"`: both together, after they were trained apart."""

_NEEDED = {
    "local": ("depth_fg",),
    "global": ("embedding_fg",),
    "joint": ("depth_fg", "embedding_fg"),
}
_UP_TO_THE_MIDDLE = ("unet.down_blocks", "unet.mid_block")


@final
class Forward:
    """Asks the base model with the conditions of a stage.

    Args:
        network: The base with its fusers.
        stage: See `Stage`.
        frozen_encoder: See `DisentanglementTask`.
    """

    def __init__(self, network: CnCNetwork, stage: Stage, frozen_encoder: bool = False) -> None:
        self.network, self.stage, self.frozen_encoder = network, stage, frozen_encoder
        parts = {"unet": network.unet}
        if stage != "global":
            parts["local"] = cast(nn.Module, network.local_fuser)
        self._layers = attention.cross_layers(parts)

    def __call__(
        self, x_t: Tensor, t: Tensor, text: Tensor, batch: Mapping[str, Tensor]
    ) -> Tensor:
        """The base's own output (B, C, h, w).

        Args:
            x_t: Noisy latents (B, C, h, w).
            t: Times (B,) of the base's schedule.
            text: Embedding (B, L, D).
            batch: The other conditions, see `Samples`.

        Raises:
            UsageError: A condition of the stage is not there.
        """
        missing = [name for name in _NEEDED[self.stage] if name not in batch]
        if missing:
            raise UsageError(
                f"the {self.stage} stage lacks conditions",
                got=sorted(batch),
                expected=", ".join(missing),
            )
        encoded = Encoded(text=text)
        if self.stage != "local":
            encoded = Encoded({**encoded, **self._tokens(batch)})
        context, t = prepare.context_of(encoded), t.float()
        added: dict[str, Any] = {}
        with self._attending(encoded, context, (x_t.shape[2], x_t.shape[3])):
            if self.stage != "global":
                added = self._residuals(x_t, t, context, batch)
            out = cast(Any, self.network.unet)(
                x_t, t, encoder_hidden_states=context, return_dict=False, **added
            )
        return out[0]

    def _tokens(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        streams: list[Stream] = ["fg", "bg"] if "embedding_bg" in batch else ["fg"]
        made = [self.network.tokens(batch[f"embedding_{x}"], x) for x in streams]
        found = {"tokens": torch.cat(made, 1)}
        if "mask" in batch:
            rest = [torch.ones_like(batch["mask"])] * (len(streams) - 1)
            found["region"] = torch.cat([batch["mask"], *rest], 1)
        return found

    def _residuals(
        self, x_t: Tensor, t: Tensor, context: Tensor, batch: Mapping[str, Tensor]
    ) -> dict[str, Any]:
        local = cast(LocalFuser, self.network.local_fuser)
        fg = batch["depth_fg"]
        modulation = local.features(fg, batch.get("depth_bg", torch.zeros_like(fg)))
        residuals: Residuals = local(x_t, t, context, modulation)
        return {
            "down_block_additional_residuals": residuals.down,
            "mid_block_additional_residual": residuals.mid,
        }

    def _attending(
        self, encoded: Encoded, context: Tensor, spatial: tuple[int, int]
    ) -> AbstractContextManager[Any]:
        if "tokens" not in encoded:
            return nullcontext()
        levels = len(cast(Any, self.network.unet).config.block_out_channels)
        sizes = regions.level_sizes(spatial, levels)
        kind = context.device.type
        autocast = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if autocast else context.dtype
        network = self.network
        guidance = prepare.guidance_of(
            encoded, sizes, network.soft_guidance, network.resize, dtype
        )
        if self.frozen_encoder:
            guidance.prepared = self._without_gradients(context)
        return attention.attending(self._layers, guidance)

    def _without_gradients(self, context: Tensor) -> dict[str, KeyValue]:
        """Keys and values of the UNet's encoder and middle, through which nothing is learned."""
        return {
            name: attention.project(layer, context.detach())
            for name, layer in self._layers.items()
            if name.startswith(_UP_TO_THE_MIDDLE)
        }
