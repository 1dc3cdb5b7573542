"""T2I-Adapter (Mou et al. 2023, arXiv 2302.08453) on one depth map of all layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast, final

import torch
from torch import Tensor, nn

from compose_benchmarks.baselines.merged import one_map
from compose_benchmarks.baselines.steered import Steered, Told, load_part, refuse_base
from compose_core.denoiser import Network
from compose_core.encoded import Encoded
from compose_core.prediction import Prediction, translate
from compose_core.scene import Scene
from compose_core.schedule import Level, Schedule

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["AdaptedUNet", "T2IAdapterMethod"]

_FEATURE = "feature."
_READ = {
    "epsilon": Prediction.from_eps,
    "v_prediction": Prediction.from_velocity,
    "sample": Prediction.from_x0,
}


@final
class AdaptedUNet(Network):
    """A UNet whose encoder is added features of a map.

    It reads `"text"` (B, L, D) and what `features` made of the map, if that is there. Features do
    not depend on the time, so they are made once for a whole walk.

    Args:
        unet: A `UNet2DConditionModel`.
        adapter: A `T2IAdapter` made for it.
        schedule: The one the UNet was trained on.
        prediction_type: What the UNet puts out.
    """

    def __init__(
        self, unet: nn.Module, adapter: nn.Module, schedule: Schedule, prediction_type: str
    ) -> None:
        super().__init__()
        self.unet, self.adapter = unet, adapter
        self.schedule, self.prediction_type = schedule, prediction_type

    @torch.no_grad()
    def features(self, control: Tensor) -> dict[str, Tensor]:
        """What is added at each resolution, of a map (B, 3, H, W) in [0, 1]."""
        made = self.adapter(control.to(next(self.adapter.parameters()).dtype))
        return {f"{_FEATURE}{i}": x for i, x in enumerate(made)}

    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """Predict `x0` of noisy latents (B, C, h, w); see `Network`."""
        scaled, matched = translate(x_t, level, self.schedule)
        encoded = encoded.expand(x_t.shape[0])
        dtype = next(self.unet.parameters()).dtype
        names = sorted(name for name in encoded if name.startswith(_FEATURE))
        # The UNet takes them out of the list that it is given.
        added = [encoded[name].to(dtype) for name in names] or None
        out = cast(Any, self.unet)(
            scaled.to(dtype),
            matched.t.to(x_t.device, torch.float32),
            encoder_hidden_states=encoded["text"].to(dtype),
            down_intrablock_additional_residuals=added,
            return_dict=False,
        )
        output = cast(Tensor, out[0]).to(x_t.dtype)
        return _READ[self.prediction_type](scaled, matched, output).at(x_t, level)


@final
class T2IAdapterMethod(Steered):
    """The scene's prompt, and a T2I-Adapter that sees one map merged of all depths."""

    name: ClassVar[str] = "t2i-adapter"
    summary: ClassVar[str] = "T2I-Adapter on the nearest depth of all layers, and the prompt"
    usual: ClassVar[str] = "t2i-adapter-tiny"

    def build(self, folder: Path, model: Model, device: torch.device | str) -> Network:
        """See `Steered.build`."""
        from diffusers import T2IAdapter

        unet: Any = model.components["unet"]
        added = load_part(T2IAdapter, folder, unet.dtype, device)
        found = {"channels": added.config["channels"], "factor": added.config["downscale_factor"]}
        wanted = {"channels": unet.config["block_out_channels"], "factor": model.codec.factor}
        refuse_base(found, wanted, "T2I-Adapter")
        return AdaptedUNet(unet, added, model.schedule, cast(Any, model.network).prediction_type)

    def told(
        self, network: Network, scene: Scene, device: torch.device | str
    ) -> tuple[Told, Told]:
        """The features of the map, on both sides."""
        found = one_map(scene, self.merge)
        heard = {} if found is None else cast(AdaptedUNet, network).features(found.to(device))
        return heard, heard
