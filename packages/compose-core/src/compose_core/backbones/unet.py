"""A `UNet2DConditionModel` as a `Network`, alone or steered by a `ControlNetModel`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, cast, final

import torch
from torch import Tensor, nn

from compose_core.denoiser import Network
from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError
from compose_core.prediction import Prediction, translate
from compose_core.schedule import Level, Schedule

__all__ = ["ConditionedUNet", "ControlledUNet", "PredictionType", "UNetNetwork"]

PredictionType = Literal["epsilon", "v_prediction", "sample"]
"""What the network was trained to put out, by the names of diffusers' scheduler configs."""

_READ = {
    "epsilon": Prediction.from_eps,
    "v_prediction": Prediction.from_velocity,
    "sample": Prediction.from_x0,
}


class ConditionedUNet(Network, ABC):
    """What networks of a UNet share: schedules, dtypes, text, and reading the output.

    Args:
        unet: A `UNet2DConditionModel` or a like.
        schedule: The one it was trained on.
        prediction_type: What it puts out.
        factor: Pixels per cell of the latents; asked by models that hear the size of the picture.
    """

    def __init__(
        self,
        unet: nn.Module,
        schedule: Schedule,
        prediction_type: PredictionType,
        *,
        factor: int = 8,
    ) -> None:
        super().__init__()
        if prediction_type not in _READ:
            raise UsageError(
                "unknown prediction type", got=prediction_type, expected=sorted(_READ)
            )
        self.unet = unet
        self.schedule = schedule
        self.prediction_type: PredictionType = prediction_type
        self.factor = factor

    @property
    def dtype(self) -> torch.dtype:
        """The dtype that the weights compute in."""
        return next(self.unet.parameters()).dtype

    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """Predict `x0`; see `Network`.

        Args:
            x_t: (B, C, h, w), any dtype: the network computes in its own and the result returns.
            level: Of any schedule; shape () or (B,).
            encoded: `"text"` (B or 1, L, D), `"pooled"` (B or 1, D2) for Stable Diffusion XL, and
                what the class adds.

        Raises:
            UsageError: No text embedding is given.
            ShapeError: Its width is not what the network cross-attends to, or a control has not
                the size of the picture.
        """
        scaled, matched = translate(x_t, level, self.schedule)
        encoded = encoded.expand(x_t.shape[0])
        x = scaled.to(self.dtype)
        t = matched.t.to(x_t.device, torch.float32)
        text = self._text(encoded)
        more = {**self.heard_besides(x, encoded), **self.additions(x, t, text, encoded)}
        out = cast(Any, self.unet)(x, t, encoder_hidden_states=text, return_dict=False, **more)
        output = cast(Tensor, out[0]).to(x_t.dtype)
        return _READ[self.prediction_type](scaled, matched, output).at(x_t, level)

    def _text(self, encoded: Encoded) -> Tensor:
        if "text" not in encoded:
            raise UsageError(
                "this network needs a text embedding",
                got=sorted(encoded),
                expected="an Encoded with 'text' (B, L, D)",
                remedy="encode the prompt with the model's TextEncoder",
            )
        width = cast(Any, self.unet).config.cross_attention_dim
        if isinstance(width, int) and encoded["text"].shape[-1] != width:
            raise ShapeError(
                "this text embedding belongs to another model",
                got=tuple(encoded["text"].shape),
                expected=f"(B, L, {width})",
            )
        return encoded["text"].to(self.dtype)

    def heard_besides(self, x: Tensor, encoded: Encoded) -> dict[str, Any]:
        """What Stable Diffusion XL hears besides: the pooled text, and the size of the picture.

        The picture is told to be what the network sees, uncut (Podell et al. 2023, section 2.2).

        Raises:
            UsageError: No pooled text is given to a network that needs one.
        """
        if cast(Any, self.unet).config.get("addition_embed_type") != "text_time":
            return {}
        if "pooled" not in encoded:
            raise UsageError(
                "this network needs the pooled text embedding as well",
                got=sorted(encoded),
                expected="an Encoded with 'text' and 'pooled'",
                remedy="pass on all that the model's TextEncoder gives",
            )
        height, width = (side * self.factor for side in x.shape[2:])
        sizes = x.new_tensor([[height, width, 0, 0, height, width]]).repeat(len(x), 1)
        pooled = encoded["pooled"].to(self.dtype)
        return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes}}

    @abstractmethod
    def additions(self, x: Tensor, t: Tensor, text: Tensor, encoded: Encoded) -> dict[str, Any]:
        """More arguments for the UNet, by name.

        Args:
            x: What the UNet sees, (B, C, h, w) in its own dtype.
            t: Its times, () or (B,).
            text: Text embeddings (B, L, D).
            encoded: All conditions, of batch B.
        """


@final
class UNetNetwork(ConditionedUNet):
    """A text-conditional UNet; reads `"text"`.

    Args:
        unet: A `UNet2DConditionModel` or a like.
        schedule: The one it was trained on.
        prediction_type: What it puts out.
        factor: See `ConditionedUNet`.
    """

    def additions(self, x: Tensor, t: Tensor, text: Tensor, encoded: Encoded) -> dict[str, Any]:
        """Nothing."""
        return {}


@final
class ControlledUNet(ConditionedUNet):
    """A UNet with a ControlNet (Zhang et al. 2023, arXiv 2302.05543); reads `"text"`, `"control"`.

    Without `"control"` in a question the UNet answers alone, so one network serves a scene of
    which only some parts are controlled.

    Args:
        unet: A `UNet2DConditionModel`.
        controlnet: A `ControlNetModel` made for it; `"control"` (B, 3, H, W) in [0, 1] has the
            size of the picture, not of the latents.
        schedule: The one both were trained on.
        prediction_type: What the UNet puts out.
        scale: Factor on the residuals that the ControlNet adds.
        factor: See `ConditionedUNet`.
    """

    def __init__(
        self,
        unet: nn.Module,
        controlnet: nn.Module,
        schedule: Schedule,
        prediction_type: PredictionType,
        scale: float = 1.0,
        *,
        factor: int = 8,
    ) -> None:
        super().__init__(unet, schedule, prediction_type, factor=factor)
        self.controlnet = controlnet
        self.scale = scale

    def additions(self, x: Tensor, t: Tensor, text: Tensor, encoded: Encoded) -> dict[str, Any]:
        """What the ControlNet adds, where there is a control."""
        if "control" not in encoded:
            return {}
        self._check_control(encoded["control"], x)
        down, mid = cast(Any, self.controlnet)(
            x,
            t,
            encoder_hidden_states=text,
            controlnet_cond=encoded["control"].to(self.dtype),
            conditioning_scale=self.scale,
            return_dict=False,
            **self.heard_besides(x, encoded),
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}

    def _check_control(self, control: Tensor, x: Tensor) -> None:
        widths = cast(Any, self.controlnet).config.conditioning_embedding_out_channels
        factor = 2 ** (len(widths) - 1)  # its embedding halves the picture between two widths
        h, w = (factor * side for side in x.shape[2:])
        if control.shape[2:] != (h, w):
            raise ShapeError(
                "the control does not fit what the network sees",
                got=tuple(control.shape),
                expected=f"(B, 3, {h}, {w}) beside latents {tuple(x.shape)}",
                remedy="resize it; under windows, give each part the piece that its window shows",
            )
