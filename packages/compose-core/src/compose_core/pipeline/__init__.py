"""The facade: compose scenes with the manners of a diffusers pipeline.

    pipe = ComposePipeline.from_pretrained("path/to/model")
    picture = pipe(load_scene("toys.toml"), method="regional").images[0]
    picture = pipe("a red sphere on grass", generator=torch.Generator().manual_seed(7)).images[0]

A call turns prompt or scene into a denoiser, walks a sampler over it and decodes the result.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, cast

import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.outputs import BaseOutput
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from compose_core.backbones import Model, assemble, load_components
from compose_core.errors import UsageError
from compose_core.evaluate import Evaluator, Local
from compose_core.method import Method, find, plan_prompts
from compose_core.noise import Generators
from compose_core.pipeline import checks, request
from compose_core.pipeline.present import present
from compose_core.pipeline.request import OutputType, SamplerName
from compose_core.sampler import Moment, Sampler
from compose_core.scene import Scene, check
from compose_core.trace import Trace

__all__ = ["ComposePipeline", "ComposePipelineOutput"]

StepEnd = Callable[
    ["ComposePipeline", int, Tensor, dict[str, Tensor]], Mapping[str, Tensor] | None
]


@dataclass
class ComposePipelineOutput(BaseOutput):
    """What a call returns.

    Attributes:
        images: A list of PIL pictures; numpy (B, H, W, 3) or torch (B, 3, H, W), both in [0, 1];
            or latents, as `output_type` asked.
        trace: The trace, if one was asked for.
        beside: What the method makes beside the picture (see `Plan.beside`), by name, in the same
            form as `images`, but always without an alpha channel unless they are PIL pictures.
    """

    images: Any
    trace: Trace | None = field(default=None)
    beside: Any = field(default=None)


class ComposePipeline(DiffusionPipeline):
    """Base model plus composition, loaded and saved like any diffusers pipeline.

    `from_pretrained` is strict and reads safetensors only. Components may be replaced, offloaded,
    moved and cast in the usual ways (`to`, `enable_model_cpu_offload`, ...).

    Args:
        vae: `AutoencoderKL` or `AutoencoderTiny`.
        text_encoder: `CLIPTextModel`.
        tokenizer: `CLIPTokenizer`.
        unet: `UNet2DConditionModel`.
        scheduler: Any diffusers scheduler with betas: those that the UNet was trained on.
        controlnet: Optional `ControlNetModel`; used by methods that give a `"control"`.
        text_encoder_2: The second `CLIPTextModelWithProjection` of Stable Diffusion XL.
        tokenizer_2: Its tokenizer.
        force_zeros_for_empty_prompt: Whether an empty prompt is zeros for a model with two.
    """

    model_cpu_offload_seq: ClassVar[str] = "text_encoder->text_encoder_2->controlnet->unet->vae"
    _optional_components: ClassVar[list[str]] = list(checks.OPTIONAL)
    _callback_tensor_inputs: ClassVar[list[str]] = ["latents"]

    def __init__(
        self,
        vae: AutoencoderKL | AutoencoderTiny,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: SchedulerMixin,
        controlnet: ControlNetModel | None = None,
        text_encoder_2: CLIPTextModelWithProjection | None = None,
        tokenizer_2: CLIPTokenizer | None = None,
        force_zeros_for_empty_prompt: bool = True,
    ) -> None:
        super().__init__()
        cast(Any, self).register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            controlnet=controlnet,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
        )
        if text_encoder_2 is not None:  # others are saved as diffusers saves them
            cast(Any, self).register_to_config(
                force_zeros_for_empty_prompt=force_zeros_for_empty_prompt
            )
        self._model_id = ""
        self._interrupt = False
        self._guidance_scale = 1.0
        self._num_timesteps = 0

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Self:
        """Load a local folder, or a model of the zoo by its id.

        Args:
            pretrained_model_name_or_path: The folder or id.
            **kwargs: `dtype` (or `torch_dtype`), `variant`, and components to use instead of the
                folder's. What is always so here, `use_safetensors=True` and
                `local_files_only=True`, and components that are not wanted, such as
                `safety_checker=None`, are taken as well.

        Raises:
            WeightsError: A part is missing or does not fit; see `backbones.load_model`.
            UsageError: An argument is unknown.
        """
        folder = request.locate(pretrained_model_name_or_path)
        dtype = kwargs.pop("dtype", kwargs.pop("torch_dtype", None)) or torch.float32
        variant = kwargs.pop("variant", None)
        own = checks.components(kwargs)
        found = {**load_components(folder, dtype, variant), **own}
        checks.check_known(cls, found)
        pipe = cls(**found)
        pipe._model_id = "" if own else str(pretrained_model_name_or_path)
        return pipe

    @property
    def model(self) -> Model:
        """The components as nouns of this package: network, text, codec, schedule."""
        name = "force_zeros_for_empty_prompt"
        parts = {**self.components, name: cast(Any, self).config.get(name, True)}
        return assemble(parts, id=self._model_id)

    @property
    def guidance_scale(self) -> float:
        """The scale of the current or last call."""
        return self._guidance_scale

    @property
    def num_timesteps(self) -> int:
        """Steps of the current or last call."""
        return self._num_timesteps

    @property
    def interrupt(self) -> bool:
        """Set `_interrupt` to True, in a callback or from another thread, to stop the walk."""
        return self._interrupt

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | Scene | None = None,
        *,
        method: str | Method = "regional",
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 30,
        guidance_scale: float = 5.0,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators | None = None,
        latents: Tensor | None = None,
        sampler: SamplerName | Sampler = "ddim",
        evaluator: Evaluator | None = None,
        output_type: OutputType = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepEnd | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        trace: bool | Trace = False,
        warn: Callable[[str], None] | None = None,
    ) -> ComposePipelineOutput | tuple[Any, ...]:
        """Make pictures.

        Args:
            prompt: One prompt or several, each a picture; or a scene.
            method: For scenes: the name of a method, or one with options of its own.
            height: In pixels, for prompts; default what the model was trained on. Scenes have
                their own canvas.
            width: Likewise.
            num_inference_steps: Steps of the sampler.
            guidance_scale: 1 asks no unconditional question.
            negative_prompt: For prompts; scenes have their own.
            num_images_per_prompt: Pictures of each prompt, or of the scene.
            generator: One for the batch, or a list with one per picture: then each picture is the
                same whatever batch it is made in. Default: seeded by the scene, else by the clock.
            latents: Starting noise (B, C, h, w) of unit variance, instead of drawing it.
            sampler: `"ddim"`, `"euler"`, `"heun"`; `"scheduler"` walks with the folder's own
                scheduler; or a `Sampler`.
            evaluator: How questions are answered: `Local(max_batch)`, `Distributed()`.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.
            return_dict: False gives a plain tuple `(images,)`.
            callback_on_step_end: Called as `f(pipe, step, t, tensors)`; returned `latents` go on.
            callback_on_step_end_tensor_inputs: Which tensors it receives: `latents`.
            trace: True, or a `Trace` to write in; each step is then also decoded.
            warn: Receives each warning as a sentence, also what of a scene the method does not
                use; default `warnings.warn`.

        A canvas more than four times as wide or high as the model was trained on is decoded in
        tiles, as is whatever is larger than that when the `vae` has `use_tiling`.

        Raises:
            UsageError, ShapeError: Arguments do not fit together.
            SceneError: The scene does not fit the model, or lacks what the method needs.
        """
        checks.check(prompt, output_type, num_images_per_prompt)
        checks.check_numbers(num_inference_steps, guidance_scale, height, width)
        self._check_tensors(callback_on_step_end_tensor_inputs)
        self._interrupt, self._guidance_scale = False, guidance_scale
        device = self._execution_device
        model = self.model
        generator = request.generators(generator, prompt)
        if isinstance(prompt, Scene):
            checks.check_scene(height, width, negative_prompt)
            chosen = find(method)() if isinstance(method, str) else method
            unused = check(prompt, chosen.accepts, chosen.needs, chosen.name)
            plan = chosen.plan(
                prompt,
                model,
                device=device,
                generator=generator,
                guidance=guidance_scale,
                steps=num_inference_steps,
            )
            batch = num_images_per_prompt
        else:
            unused = []
            texts = request.texts(prompt, negative_prompt, num_images_per_prompt)
            shape = request.latent_shape(model, height, width)
            plan = plan_prompts(model, texts, shape, guidance_scale, device)
            batch = len(texts)
        for line in (*unused, *plan.warnings):
            (warn or _warn)(line)

        codec = plan.codec or request.codec(model, plan.cells)
        walk = request.sampler(sampler, model, self.scheduler, num_inference_steps)
        self._num_timesteps = len(walk.levels) - 1
        x_t = request.start(walk, (batch, *plan.shape), generator, device, latents)
        x_t = x_t if plan.start is None else plan.start(x_t)
        log = trace if isinstance(trace, Trace) else None
        if trace is True:
            name = method if isinstance(method, str) else method.name
            log = Trace(request.described(prompt, name, num_inference_steps, guidance_scale))
        walked = walk.steps(
            plan.denoiser, x_t, generator=generator, evaluator=evaluator or Local()
        )
        with cast(Any, self).progress_bar(total=self._num_timesteps) as bar:
            for moment in walked:
                x_t = self._after(moment, callback_on_step_end, callback_on_step_end_tensor_inputs)
                if log is not None:
                    request.trace(log, moment, codec, plan)
                bar.update()
                if self._interrupt:
                    break
        finish = cast(Any, VaeImageProcessor(vae_scale_factor=codec.factor)).postprocess
        images, *others = (
            present(x_t, codec, plan, output_type, finish, name) for name in (None, *plan.beside)
        )
        self.maybe_free_model_hooks()
        if not return_dict:
            return (images,)
        beside = dict(zip(plan.beside, others, strict=True)) or None
        return ComposePipelineOutput(images=images, trace=log, beside=beside)

    def _check_tensors(self, names: Sequence[str]) -> None:
        if not set(names) <= set(self._callback_tensor_inputs):
            raise UsageError(
                "a callback cannot receive these",
                got=list(names),
                expected=self._callback_tensor_inputs,
            )

    def _after(self, moment: Moment, callback: StepEnd | None, names: Sequence[str]) -> Tensor:
        """Run the callback; what it returns replaces the sample the walk goes on with."""
        if callback is None:
            return moment.x_t
        given = {"latents": moment.x_t}
        step = moment.step
        changed = callback(self, step.index, step.now.t, {name: given[name] for name in names})
        latents = (changed or {}).get("latents")
        if latents is not None and latents is not moment.x_t:
            checks.check_latents(latents, tuple(moment.x_t.shape))
            moment.x_t.copy_(latents)  # in place: the sampler holds this very tensor
        return moment.x_t


def _warn(line: str) -> None:
    warnings.warn(line, UserWarning, stacklevel=3)
