"""The local fuser: depth streams, and a clone of the UNet's encoder that hears them.

Paper, section 3.2, appendix A.2, Eq. 2. The clone (E', C') is a ControlNet whose hint does not
enter at the first convolution but through the normalisations of the first residual block of each
resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from compose_cnc.model import clone
from compose_cnc.model.fdn import FDN, Modulation, ResnetModulation
from compose_cnc.model.sizes import SD15, Sizes
from compose_cnc.model.streams import DepthStreams

__all__ = ["LocalFuser", "Residuals"]


class Residuals(NamedTuple):
    """What is added to the UNet: to each skip connection, and after the middle block (Eq. 2)."""

    down: tuple[Tensor, ...]
    mid: Tensor

    def scaled(self, factors: Callable[[Tensor], Tensor | float]) -> Residuals:
        """Each residual times what `factors` makes of it."""
        return Residuals(tuple(x * factors(x) for x in self.down), self.mid * factors(self.mid))


class LocalFuser(ModelMixin, ConfigMixin):
    """Depth streams and the cloned encoder; its outputs start at zero.

    Args:
        stream_channels: See `Sizes`; with `stream_strides` and `feature_channels`.
        stream_strides: See `Sizes`.
        feature_channels: One for each down block.
        in_channels: This and what follows: as in the config of `UNet2DConditionModel`.
        down_block_types: `CrossAttnDownBlock2D` or `DownBlock2D`.
        block_out_channels: See above.
        layers_per_block: See above.
        downsample_padding: See above.
        mid_block_scale_factor: See above.
        norm_num_groups: See above; also of the feature denormalisation.
        norm_eps: See above; also of the feature denormalisation.
        cross_attention_dim: See above.
        transformer_layers_per_block: See above.
        attention_head_dim: See above; in this class of diffusers, the number of heads.
        num_attention_heads: See above.
        use_linear_projection: See above.
        only_cross_attention: See above.
        upcast_attention: See above.
        flip_sin_to_cos: See above.
        freq_shift: See above.

    Raises:
        UsageError: A down block is of another type, or there is not one feature for each.
    """

    config_name = "config.json"
    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        stream_channels: tuple[int, ...] = SD15.stream_channels,
        stream_strides: tuple[int, ...] = SD15.stream_strides,
        feature_channels: tuple[int, ...] = SD15.feature_channels,
        in_channels: int = 4,
        down_block_types: tuple[str, ...] = (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        downsample_padding: int = 1,
        mid_block_scale_factor: float = 1.0,
        norm_num_groups: int = 32,
        norm_eps: float = 1e-5,
        cross_attention_dim: int = 768,
        transformer_layers_per_block: int | tuple[int, ...] = 1,
        attention_head_dim: int | tuple[int, ...] = 8,
        num_attention_heads: int | tuple[int, ...] | None = None,
        use_linear_projection: bool = False,
        only_cross_attention: bool | tuple[bool, ...] = False,
        upcast_attention: bool = False,
        flip_sin_to_cos: bool = True,
        freq_shift: int = 0,
    ) -> None:
        super().__init__()
        clone.check_blocks(down_block_types, feature_channels)
        sizes = Sizes(tuple(stream_channels), tuple(stream_strides), tuple(feature_channels))
        self.factor = sizes.factor
        self.gradient_checkpointing = False
        first, last = block_out_channels[0], block_out_channels[-1]
        self.conv_in = nn.Conv2d(in_channels, first, 3, padding=1)
        self.time_proj = Timesteps(first, flip_sin_to_cos, freq_shift)
        self.time_embedding = TimestepEmbedding(first, 4 * first)
        config: Mapping[str, Any] = self.config
        blocks = range(len(block_out_channels))
        self.down_blocks = nn.ModuleList(clone.down_block(config, i) for i in blocks)
        self.mid_block = clone.mid_block(config)
        self.controlnet_down_blocks = nn.ModuleList(
            clone.zero(width) for width in clone.widths(config)
        )
        self.controlnet_mid_block = clone.zero(last)
        self.streams = DepthStreams(
            sizes.stream_channels, sizes.stream_strides, sizes.feature_channels
        )

    @classmethod
    def from_unet(
        cls,
        unet: nn.Module,
        sizes: Sizes = SD15,
        *,
        load_weights: bool = True,
        generator: torch.Generator | None = None,
    ) -> LocalFuser:
        """The fuser for a `UNet2DConditionModel`, its encoder and middle copied from there.

        At first the clone computes what the encoder computes, whatever the depth, and adds
        nothing. Stages of training that start elsewhere load other weights over these.

        Args:
            unet: The base.
            sizes: Of the depth streams; `sizes.factor` must be that of the base's codec.
            load_weights: Whether to copy; without, the clone is random.
            generator: Of the weights that are new; by default one of seed 0.

        Raises:
            UsageError: The UNet has not the layout of Stable Diffusion 1 or 2.
        """
        found: Mapping[str, Any] = cast(Any, unet).config
        clone.check_unet(found)
        with torch.random.fork_rng(devices=[]):  # the default draws are replaced
            made = cls(
                stream_channels=sizes.stream_channels,
                stream_strides=sizes.stream_strides,
                feature_channels=sizes.feature_channels,
                **{name: found[name] for name in clone.COPIED},
            )
        draw = torch.Generator().manual_seed(0) if generator is None else generator
        made._fill(draw, everything=not load_weights)
        if load_weights:
            made._take(unet)
        return made

    def _fill(self, draw: torch.Generator, everything: bool) -> None:
        """Draw anew, as torch does by default, what no UNet gives (or everything)."""
        denormalisations = [x for x in self.modules() if isinstance(x, FDN)]
        fresh = [self] if everything else [self.streams, *denormalisations]
        kept = {*self.streams.zero, *self.controlnet_down_blocks, self.controlnet_mid_block}
        for module in (x for root in fresh for x in root.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear) and module not in kept:
                bound = module.weight[0].numel() ** -0.5
                nn.init.uniform_(module.weight, -bound, bound, generator=draw)
                if module.bias is not None:
                    nn.init.uniform_(module.bias, -bound, bound, generator=draw)

    def _take(self, unet: nn.Module) -> None:
        source = cast(Any, unet)
        for name in ("conv_in", "time_embedding", "mid_block"):
            getattr(self, name).load_state_dict(getattr(source, name).state_dict())
        for block, given in zip(self.down_blocks, source.down_blocks, strict=True):
            mine, first = cast(Any, block).resnets, given.resnets[0]
            mine[0].take(first)
            rest = {k: v for k, v in given.state_dict().items() if not k.startswith("resnets.0.")}
            block.load_state_dict(rest, strict=False)

    def features(self, fg: Tensor, bg: Tensor) -> Modulation:
        """What both depth maps ask of the clone; once for all steps of a run.

        Args:
            fg: Depth of the foreground (B, 3, H, W) in [0, 1], near is 1, `factor` times the size
                of the latents; zeros where there is none.
            bg: Depth of the background, of the same shape.
        """
        features = self.streams(fg, bg)
        pairs = zip(self.down_blocks, features, strict=True)
        return Modulation(tuple(cast(Any, b).resnets[0].modulation(x) for b, x in pairs))

    def forward(
        self, x_t: Tensor, t: Tensor, context: Tensor, modulation: Modulation
    ) -> Residuals:
        """The residuals for the UNet.

        Args:
            x_t: Noisy latents (B, C, h, w).
            t: Timesteps, of shape () or (B,).
            context: Text (B, L, D), with the tokens of exemplars where there are some.
            modulation: From `features`, of the same batch.
        """
        time = self.time_embedding(self.time_proj(t.expand(len(x_t))).to(x_t.dtype))
        x = self.conv_in(x_t)
        outputs = [x]
        for block, level in zip(self.down_blocks, modulation.levels, strict=True):
            outputs += self._down(cast(Any, block), outputs[-1], time, context, level)
        mid = self.mid_block(outputs[-1], time, encoder_hidden_states=context)
        zeros = zip(self.controlnet_down_blocks, outputs, strict=True)
        return Residuals(tuple(zero(y) for zero, y in zeros), self.controlnet_mid_block(mid))

    def _down(
        self, block: Any, x: Tensor, time: Tensor, context: Tensor, level: ResnetModulation
    ) -> list[Tensor]:
        """The outputs of one down block, whose own `forward` knows of no modulation."""
        outputs: list[Tensor] = []
        attentions = getattr(block, "attentions", [None] * len(block.resnets))
        for i, (resnet, attention) in enumerate(zip(block.resnets, attentions, strict=True)):
            x = self._run(resnet, x, time, level) if i == 0 else self._run(resnet, x, time)
            if attention is not None:
                x = attention(x, encoder_hidden_states=context, return_dict=False)[0]
            outputs.append(x)
        for downsampler in block.downsamplers or ():
            outputs.append(downsampler(outputs[-1]))
        return outputs

    def _run(self, module: nn.Module, *args: Any) -> Tensor:
        if torch.is_grad_enabled() and self.gradient_checkpointing:
            return cast(Any, self)._gradient_checkpointing_func(module, *args)
        return module(*args)
