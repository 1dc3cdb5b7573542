"""Compose and Conquer as a `Network`: a frozen UNet, the local and the global fuser."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compose_cnc import attention, prepare, regions
from compose_cnc.attention import SoftGuidance
from compose_cnc.model import GlobalFuser, LocalFuser, Modulation, Residuals, Stream
from compose_cnc.regions import Resize
from compose_core.backbones.unet import PredictionType
from compose_core.denoiser import Network
from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError
from compose_core.prediction import Prediction, translate
from compose_core.schedule import Level, Schedule

__all__ = ["CnCNetwork"]

_READ = {
    "epsilon": Prediction.from_eps,
    "v_prediction": Prediction.from_velocity,
    "sample": Prediction.from_x0,
}


@final
class CnCNetwork(Network):
    """A UNet steered by depth in two layers and by exemplars in their regions.

    It reads, all optional but the first, each (B, ...):

    - `"text"` (L, D);
    - `"depth_fg"`, `"depth_bg"` (3, H, W) in [0, 1], near is 1, of the size of the picture; one
      alone goes with zeros for the other, and with neither the clone does not run;
    - `"tokens"` (K N, D): N tokens for each of K regions, the region in front first, from
      `tokens` (the weights lambda are already in them);
    - `"region"` (K, H, W) in [0, 1]: a mask for each, hidden parts included; the last is often
      ones, and has the rest;
    - `"strength"` () or (1, H, W): a factor on what the clone adds, for all or in places;

    or what `prepare` made of them. Without depth and tokens it answers exactly as `UNetNetwork`.

    Args:
        unet: A `UNet2DConditionModel`.
        schedule: The one it was trained on.
        prediction_type: What it puts out.
        local_fuser: Sees depth.
        global_fuser: Makes tokens; `forward` itself does not need it.
        soft_guidance: How tokens are kept to their regions; see `SoftGuidance`.
        resize: How masks come to the layers; see `Resize`.

    Raises:
        UsageError: The prediction type is unknown, or a layer cannot be guided.
        ShapeError: A fuser was made for another UNet.
    """

    def __init__(
        self,
        unet: nn.Module,
        schedule: Schedule,
        prediction_type: PredictionType,
        *,
        local_fuser: LocalFuser | None = None,
        global_fuser: GlobalFuser | None = None,
        soft_guidance: SoftGuidance = "mask",
        resize: Resize = "official",
    ) -> None:
        super().__init__()
        if prediction_type not in _READ:
            raise UsageError(
                "unknown prediction type", got=prediction_type, expected=sorted(_READ)
            )
        self.unet, self.local_fuser, self.global_fuser = unet, local_fuser, global_fuser
        self.schedule = schedule
        self.prediction_type: PredictionType = prediction_type
        self.soft_guidance: SoftGuidance = soft_guidance
        self.resize: Resize = resize
        config = cast(Any, unet).config
        self._width = config.cross_attention_dim
        self._levels = len(config.block_out_channels)
        self._check_fusers()
        parts = {"unet": unet} | ({} if local_fuser is None else {"local": local_fuser})
        self._layers = attention.cross_layers(parts)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the weights compute in."""
        return next(self.unet.parameters()).dtype

    def tokens(self, embedding: Tensor, stream: Stream, weight: float | Tensor = 1.0) -> Tensor:
        """Tokens (B, N, D) of exemplar embeddings (B, E), times lambda.

        Args:
            embedding: From the picture encoder; zeros stand for a missing exemplar.
            stream: Whose weights; regions beyond the first two take `"fg"`.
            weight: Lambda, one or (B,). At 0 a token is zeros, which is not its absence: it still
                takes its part of the softmax.

        Raises:
            UsageError: There is no global fuser.
        """
        if self.global_fuser is None:
            raise UsageError(
                "this network has no global fuser to make tokens",
                remedy="build the CnCNetwork with a GlobalFuser",
            )
        made = self.global_fuser(embedding.to(self.dtype), stream)
        factor = weight.to(made).reshape(-1, 1, 1) if isinstance(weight, Tensor) else weight
        return factor * made

    def prepare(self, encoded: Encoded, spatial: tuple[int, int]) -> Encoded:
        """The same conditions with everything computed that is constant over a run.

        Args:
            encoded: See the class.
            spatial: (h, w) of the latents.

        Raises:
            ShapeError: A condition does not fit, or holds what is no number.
            UsageError: There is no text, or depth without a local fuser.
        """
        return self.prepare_all([encoded], spatial)[0]

    def prepare_all(
        self, conditions: Iterable[Encoded], spatial: tuple[int, int]
    ) -> list[Encoded]:
        """`prepare` for several; work on a tensor that they have in common is done once."""
        prepared = prepare.Preparation(
            self._layers, self.local_fuser, spatial, self._levels, self.resize, self.dtype
        )
        return [prepared(encoded) for encoded in conditions]

    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """Predict `x0`; see `Network`.

        Args:
            x_t: Noisy latents (B, C, h, w), any dtype: the network computes in its own.
            level: Of any schedule; shape () or (B,).
            encoded: See the class; batch 1 or B.

        Raises:
            UsageError: There is no text, depth without a local fuser, or tokens without regions.
            ShapeError: A condition does not fit the latents or the network.
        """
        scaled, matched = translate(x_t, level, self.schedule)
        encoded = encoded.expand(x_t.shape[0])
        x = scaled.to(self.dtype)
        t = matched.t.to(x_t.device, torch.float32)
        spatial = (x.shape[2], x.shape[3])
        modulation = self._modulation(encoded, spatial)
        context = self._context(encoded)
        with self._attending(encoded, spatial):
            added = self._residuals(x, t, context, modulation, encoded)
            out = cast(Any, self.unet)(
                x, t, encoder_hidden_states=context, return_dict=False, **added
            )
        output = cast(Tensor, out[0]).to(x_t.dtype)
        return _READ[self.prediction_type](scaled, matched, output).at(x_t, level)

    def _modulation(self, encoded: Encoded, spatial: tuple[int, int]) -> Modulation | None:
        found = prepare.modulation_of(encoded)
        if found is None:
            depths = prepare.depths_of(encoded, self.local_fuser, spatial)
            if depths is None:
                return None
            fg, bg = (depth.to(self.dtype) for depth in depths)
            return cast(LocalFuser, self.local_fuser).features(fg, bg)
        size = tuple(found.levels[0].norm_in.gamma.shape[2:])
        if size != spatial:
            raise ShapeError(
                "the depth was prepared for latents of another size",
                got=size,
                expected=spatial,
                remedy="prepare the conditions once for each size",
            )
        return found

    def _context(self, encoded: Encoded) -> Tensor:
        context = prepare.context_of(encoded)
        if isinstance(self._width, int) and context.shape[-1] != self._width:
            raise ShapeError(
                "this text embedding belongs to another model",
                got=tuple(encoded["text"].shape),
                expected=f"(B, L, {self._width})",
            )
        return context.to(self.dtype)

    def _attending(self, encoded: Encoded, spatial: tuple[int, int]) -> Any:
        """The layers under soft guidance; left alone where there is nothing to tell them."""
        if "tokens" not in encoded and not prepare.is_prepared(encoded):
            return nullcontext()
        self._check_gradients()
        sizes = regions.level_sizes(spatial, self._levels)
        guidance = prepare.guidance_of(encoded, sizes, self.soft_guidance, self.resize, self.dtype)
        return attention.attending(self._layers, guidance)

    def _residuals(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor,
        modulation: Modulation | None,
        encoded: Encoded,
    ) -> dict[str, Any]:
        if modulation is None:
            return {}
        residuals: Residuals = cast(LocalFuser, self.local_fuser)(x, t, context, modulation)
        if "strength" in encoded:
            strength = encoded["strength"].to(x)
            residuals = residuals.scaled(lambda r: _factor(strength, r))
        return {
            "down_block_additional_residuals": residuals.down,
            "mid_block_additional_residual": residuals.mid,
        }

    def _check_fusers(self) -> None:
        local, tokens = self.local_fuser, self.global_fuser
        heard = None if local is None else cast(Any, local).config.cross_attention_dim
        widths = {"local": heard, "global": None if tokens is None else tokens.width}
        wrong = {k: v for k, v in widths.items() if v is not None and v != self._width}
        if wrong:
            raise ShapeError(
                "a fuser was made for another model",
                got=", ".join(f"{name} fuser of width {width}" for name, width in wrong.items()),
                expected=f"{self._width}, the cross_attention_dim of the UNet",
            )

    def _check_gradients(self) -> None:
        """Recomputed in the backward pass, a layer would have forgotten what it was told."""
        if torch.is_grad_enabled() and any(
            getattr(module, "gradient_checkpointing", False) for module in self.modules()
        ):
            raise UsageError(
                "soft guidance and gradient checkpointing exclude each other",
                remedy="call disable_gradient_checkpointing() on the UNet and the local fuser",
            )


def _factor(strength: Tensor, residual: Tensor) -> Tensor:
    """The factor (B, 1, h, w) or (B, 1, 1, 1) on one residual (B, C, h, w)."""
    if strength.dim() == 1:
        return strength[:, None, None, None]
    if strength.dim() != 4 or strength.shape[1] != 1:
        raise ShapeError(
            "this strength is neither one number nor a map for each sample",
            got=tuple(strength.shape),
            expected="(B,) or (B, 1, H, W)",
        )
    return F.interpolate(strength, residual.shape[2:], mode="area")
