"""The facade: Compose and Conquer with the manners of a diffusers pipeline.

pipe = CnCPipeline.from_pretrained("sd-tiny", adapter="cnc-tiny")
picture = pipe("a sphere on snow", depth_fg=near, depth_bg=far, mask=mask).images[0]
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, cast, final

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import Tensor
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from compose_cnc.attention import SoftGuidance
from compose_cnc.batch import Given, Kind, Rows, check_alone
from compose_cnc.exemplars import ExemplarEncoder, Preprocess
from compose_cnc.folder import Adapter, save_adapter
from compose_cnc.grouped import Grouped
from compose_cnc.guidance import CFG, guided
from compose_cnc.inputs import Pictures
from compose_cnc.method import CnCMethod
from compose_cnc.model import GlobalFuser, LocalFuser
from compose_cnc.network import CnCNetwork
from compose_cnc.options import Interval, Options, check_interval, is_idle
from compose_cnc.planner import adapter_for, network_for, ready
from compose_cnc.regions import Resize
from compose_core.backbones import Model
from compose_core.denoiser import Bound, Denoiser, Switched
from compose_core.encoded import Encoded
from compose_core.method import Method, Plan, too_long
from compose_core.noise import Generators
from compose_core.pipeline import ComposePipeline, ComposePipelineOutput, checks, request
from compose_core.scene import Scene, build

__all__ = ["CnCPipeline"]

_OWN = ("local_fuser", "global_fuser", "image_encoder")


class CnCPipeline(ComposePipeline):
    """A base model with an adapter of Compose and Conquer; see `ComposePipeline` for the rest.

    Args:
        vae: See `ComposePipeline`.
        text_encoder: Likewise.
        tokenizer: Likewise.
        unet: Likewise.
        scheduler: Likewise.
        controlnet: Not used.
        text_encoder_2: Not used: adapters are made for Stable Diffusion 1 and 2.
        tokenizer_2: Likewise.
        force_zeros_for_empty_prompt: Likewise.
        local_fuser: Sees depth.
        global_fuser: Makes tokens of exemplars.
        image_encoder: Makes embeddings of exemplars.
        preprocess: What is done to exemplars first.
    """

    # The local fuser is asked between layers of the UNet's offloading: it stays on the device.
    model_cpu_offload_seq: ClassVar[str] = "text_encoder->image_encoder->unet->vae"
    _exclude_from_cpu_offload: ClassVar[list[str]] = ["local_fuser", "global_fuser"]
    _optional_components: ClassVar[list[str]] = [*checks.OPTIONAL, *_OWN]

    def __init__(
        self,
        vae: AutoencoderKL | AutoencoderTiny,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: SchedulerMixin,
        controlnet: ControlNetModel | None = None,
        local_fuser: LocalFuser | None = None,
        global_fuser: GlobalFuser | None = None,
        image_encoder: CLIPVisionModelWithProjection | None = None,
        preprocess: Preprocess | None = None,
        text_encoder_2: CLIPTextModelWithProjection | None = None,
        tokenizer_2: CLIPTokenizer | None = None,
        force_zeros_for_empty_prompt: bool = True,
    ) -> None:
        super().__init__(
            vae,
            text_encoder,
            tokenizer,
            unet,
            scheduler,
            controlnet,
            text_encoder_2,
            tokenizer_2,
            force_zeros_for_empty_prompt,
        )
        cast(Any, self).register_modules(
            local_fuser=local_fuser, global_fuser=global_fuser, image_encoder=image_encoder
        )
        self._preprocess = preprocess or Preprocess()
        self._base = ""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        adapter: str | os.PathLike[str] | Adapter | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load a base model and an adapter, both from local folders or by their ids in the zoo.

        Args:
            pretrained_model_name_or_path: The base model; or what `save_pretrained` wrote, which
                holds both.
            adapter: What is added; by default what lies in the same folder.
            **kwargs: See `ComposePipeline.from_pretrained`.

        Raises:
            WeightsError: A part is missing, damaged, or the two do not belong together.
            UsageError: An argument is unknown.
        """
        pipe = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        given = request.locate(pretrained_model_name_or_path) if adapter is None else adapter
        found = adapter_for(given, pipe.model, "cpu")
        encoder = None if found.exemplars is None else found.exemplars.network
        cast(Any, pipe).register_modules(
            local_fuser=found.local_fuser, global_fuser=found.global_fuser, image_encoder=encoder
        )
        if found.exemplars is not None:
            pipe._preprocess = found.exemplars.preprocess
        pipe._base = found.base
        return pipe

    @property
    def adapter(self) -> Adapter:
        """The parts that are added to the base model."""
        own = cast(Any, self)
        encoder = own.image_encoder
        return Adapter(
            local_fuser=own.local_fuser,
            global_fuser=own.global_fuser,
            exemplars=None if encoder is None else ExemplarEncoder(encoder, self._preprocess),
            base=self._base,
        )

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> None:
        """Write base model and adapter into one folder, which `from_pretrained` reads."""
        cast(Any, super()).save_pretrained(save_directory, *args, **kwargs)
        if any(getattr(self, name) is not None for name in _OWN):
            save_adapter(Path(save_directory), self.adapter)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | Scene | None = None,
        *,
        depth_fg: Pictures = None,
        depth_bg: Pictures = None,
        mask: Pictures = None,
        exemplar_fg: Pictures = None,
        exemplar_bg: Pictures = None,
        lambda_fg: float | Sequence[float] = 1.0,
        lambda_bg: float | Sequence[float] = 1.0,
        strength: float | Sequence[float] = 1.0,
        interval: Interval = (0.0, 1.0),
        soft_guidance: SoftGuidance = "mask",
        resize: Resize = "official",
        cfg: CFG = "drop_exemplar",
        exemplar_guidance: float = 3.0,
        method: str | Method = "cnc",
        height: int | None = None,
        width: int | None = None,
        guidance_scale: float = 5.0,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators | None = None,
        **options: Any,
    ) -> ComposePipelineOutput | tuple[Any, ...]:
        """Make pictures.

        Each condition is one for all prompts, or a list with one for each, in which None is none.

        Args:
            prompt: One prompt or several; or a scene, which has all conditions of its own.
            depth_fg: Depth of the foreground, near is bright, of the size of the picture; it is
                cut out by the mask. Without one of the two depths zeros take its place; without
                both the local fuser does not run.
            depth_bg: Depth of what lies behind it, also where it is hidden.
            mask: Where the foreground is. Without one, everything is background for exemplars.
            exemplar_fg: How the foreground should look: a picture of any size, or an embedding
                (D,). Without one of the two the network hears the tokens of a missing exemplar.
            exemplar_bg: How the background should look.
            lambda_fg: Factor on the tokens of the foreground's exemplar. At 0 it is not off.
            lambda_bg: Likewise.
            strength: Factor on what the local fuser adds. At 0 it does not run, as without depth.
            interval: From which share of the steps on, and up to which, it runs.
            soft_guidance: How exemplars are kept to their regions; see `SoftGuidance`.
            resize: How the mask comes to the layers of the network; see `Resize`.
            cfg: What the unconditional side hears; see `guidance.CFG`.
            exemplar_guidance: The scale of exemplars for `cfg="separate"`.
            method: For scenes; `"cnc"` with the options above, or a `Method`.
            height: In pixels; default that of the depths or the mask, else the model's.
            width: Likewise.
            guidance_scale: 1 asks no unconditional question.
            negative_prompt: See `ComposePipeline`.
            num_images_per_prompt: Pictures of each prompt.
            generator: See `ComposePipeline`.
            **options: See `ComposePipeline`.

        Raises:
            UsageError, ShapeError: Arguments do not fit together, or an exemplar has no region.
            SceneError: A scene does not fit the model.
        """
        given = Given(
            depth_fg=depth_fg,
            depth_bg=depth_bg,
            mask=mask,
            exemplar_fg=exemplar_fg,
            exemplar_bg=exemplar_bg,
            lambda_fg=lambda_fg,
            lambda_bg=lambda_bg,
            strength=strength,
        )
        how = Options(
            soft_guidance=soft_guidance,
            resize=resize,
            cfg=cfg,
            exemplar_guidance=exemplar_guidance,
        )
        check_interval("interval", interval)
        if isinstance(prompt, Scene):
            check_alone(given, interval)
            if method == "cnc":
                method = CnCMethod(
                    self.adapter,
                    soft_guidance=soft_guidance,
                    resize=resize,
                    cfg=cfg,
                    exemplar_guidance=exemplar_guidance,
                )
            return super().__call__(
                prompt,
                method=method,
                height=height,
                width=width,
                guidance_scale=guidance_scale,
                negative_prompt=negative_prompt,
                num_images_per_prompt=num_images_per_prompt,
                generator=generator,
                **options,
            )
        checks.check(prompt, options.get("output_type", "pil"), num_images_per_prompt)
        steps = options.get("num_inference_steps", 30)
        checks.check_numbers(steps, guidance_scale, height, width)
        texts = request.texts(prompt, negative_prompt, 1)
        rows = Rows(given, len(texts), regional=soft_guidance != "off")
        h, w = rows.size or (None, None)
        shape = request.latent_shape(
            self.model, h if height is None else height, w if width is None else width
        )
        factor = self.model.codec.factor
        stand_in = build(
            {
                "version": 1,
                "canvas": (shape[2] * factor, shape[1] * factor),
                "prompt": "conditions given to a pipeline",
                "layers": [{"name": "all", "prompt": "of the pictures"}],
            }
        )
        return super().__call__(
            stand_in,
            method=_Planned(
                rows, texts, num_images_per_prompt, self.adapter, how, (interval[0], interval[1])
            ),
            guidance_scale=guidance_scale,
            num_images_per_prompt=len(texts) * num_images_per_prompt,
            generator=request.generators(generator, prompt),
            **options,
        )


@final
class _Planned(Method):
    """What `CnCPipeline` was given, in the place of a scene."""

    name: ClassVar[str] = "cnc"
    summary: ClassVar[str] = "conditions given to a pipeline"
    accepts: ClassVar[frozenset[str]] = frozenset({"prompt"})

    def __init__(
        self,
        rows: Rows,
        texts: list[tuple[str, str]],
        each: int,
        adapter: Adapter,
        how: Options,
        interval: Interval,
    ) -> None:
        self.rows, self.texts, self.each, self.adapter = rows, texts, each, adapter
        self.how, self.interval = how, interval

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
        """See `Method.plan`; of the scene, only the canvas counts."""
        factor = model.codec.factor
        shape = (model.channels, scene.height // factor, scene.width // factor)
        size = (scene.height, scene.width)
        self.rows.check_size(size)
        adapter = adapter_for(self.adapter, model, device)
        network = network_for(model, adapter, self.how.soft_guidance, self.how.resize)
        texts = [
            model.text.encode([pair[i] for pair in self.texts])["text"].to(device) for i in (0, 1)
        ]

        def made(kind: Kind, rows: list[int]) -> Denoiser:
            told = self.rows.conditions(kind, rows, network, adapter.exemplars, size, device)
            said = [text[rows] for text in texts]
            return self._denoiser(network, said, told, guidance, shape[1:])

        def within(kind: Kind, rows: list[int]) -> Denoiser:
            if not kind.deep or self.interval == (0, 1):
                return made(kind, rows)
            off = made(kind._replace(deep=False), rows)
            start, stop = self.interval
            turns = [(0.0, off), (start, made(kind, rows)), (stop, off)][start == 0 :]
            return Switched([part for _, part in turns], [begin for begin, _ in turns])

        groups = self.rows.groups()
        parts = [within(kind, rows) for kind, rows in groups.items()]
        each = [[i * self.each + n for i in x for n in range(self.each)] for x in groups.values()]
        lines = [*too_long((text for pair in self.texts for text in pair), model.text)]
        if is_idle(self.interval, steps) and any(kind.deep for kind in groups):
            lines.append(
                f"no step falls into the interval of depth: it is heard in none of {steps}"
            )
        return Plan(
            denoiser=parts[0] if len(parts) == 1 else Grouped(parts, each),
            shape=shape,
            warnings=(*lines, *self.rows.remarks()),
        )

    def _denoiser(
        self,
        network: CnCNetwork,
        texts: list[Tensor],
        told: tuple[dict[str, Tensor], dict[str, Tensor]],
        guidance: float,
        spatial: tuple[int, int],
    ) -> Denoiser:
        """Prompts and negatives (B, L, D), with and without exemplars, under guidance."""
        (positive, negative), (hearing, deaf) = texts, told
        asked: list[dict[str, Tensor]] = [{"text": positive, **hearing}]
        if guidance != 1:
            asked.append({"text": negative, **hearing})
        if guidance != 1 and deaf is not hearing:
            asked.append({"text": negative, **deaf})
        count = len(positive)
        rows = torch.arange(count, device=positive.device).repeat_interleave(self.each)
        alike = self.each == 1 or count == 1  # one row serves any batch
        made = [
            Bound(network, x if alike else x.select(rows))
            for x in ready(network, [Encoded(x) for x in asked], spatial)
        ]
        cond, heard, unheard = made[0], made[min(1, len(made) - 1)], made[-1]
        return guided(cond, heard, unheard, guidance, self.how.cfg, self.how.exemplar_guidance)
