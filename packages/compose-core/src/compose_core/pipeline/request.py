"""What a call of the pipeline asks for, checked and turned into the nouns of this package."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.backbones import Model
from compose_core.codec import Codec, Tiled, tile_side
from compose_core.errors import ShapeError, UsageError, WeightsError
from compose_core.method import Plan
from compose_core.noise import Generators
from compose_core.pipeline.checks import all_texts
from compose_core.sampler import DDIM, Euler, FromDiffusers, Heun, Moment, Sampler
from compose_core.scene import Scene
from compose_core.scene.layer import short
from compose_core.trace import Trace, collect

OutputType = Literal["pil", "np", "pt", "latent"]
SamplerName = Literal["ddim", "euler", "heun", "scheduler"]

_PREVIEW = 256
"""Longest side of the pictures in a trace, in pixels."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def locate(model: str | os.PathLike[str]) -> Path:
    """The folder itself, or that of a model of the zoo.

    Raises:
        UsageError, WeightsError: There is none.
    """
    if Path(model).is_dir():
        return Path(model)
    from compose_core import zoo  # only needed for ids

    try:
        return zoo.resolve(str(model))
    except WeightsError as error:
        if not _HUB_NAME.fullmatch(str(model)):
            raise
        raise WeightsError(
            "there is no such model folder, and nothing is downloaded here",
            got=model,
            expected="a folder, or an id from `compose zoo list`",
            remedy=f"download it first, for example `hf download {model} --local-dir FOLDER`, or "
            "write a manifest with its revision and hashes for `compose zoo pull`",
        ) from error


def generators(generator: Generators | None, prompt: object) -> Generators:
    """What was given; else one seeded by the scene, else by the operating system.

    Raises:
        UsageError: What was given is not a generator, nor a list of them.
    """
    if generator is not None:
        several = generator if isinstance(generator, (list, tuple)) else [generator]
        if not all(isinstance(cast(object, one), torch.Generator) for one in several):
            raise UsageError(
                "this is not a generator of random numbers",
                got=short(generator),
                expected="a torch.Generator, or a list with one for each picture",
                remedy="torch.Generator().manual_seed(3)",
            )
        return generator
    fresh = torch.Generator()
    if isinstance(prompt, Scene):
        return fresh.manual_seed(prompt.seed)
    fresh.seed()
    return fresh


def texts(
    prompts: str | Sequence[str] | None, negatives: str | Sequence[str] | None, each: int
) -> list[tuple[str, str]]:
    """(prompt, negative) of each picture.

    Raises:
        UsageError: There are several negatives, but not one for each prompt.
    """
    positive = [prompts] if isinstance(prompts, str) else list(prompts or ())
    if negatives is None or isinstance(negatives, str):
        negatives = [negatives or ""] * len(positive)
    if not all_texts(negatives):
        raise UsageError("a negative prompt is not a text", got=short(negatives))
    if len(negatives) != len(positive):
        raise UsageError(
            "prompts and negative prompts do not match",
            got=f"{len(positive)} and {len(negatives)}",
            expected="one negative prompt for all, or one for each",
        )
    return [pair for pair in zip(positive, negatives, strict=True) for _ in range(each)]


def latent_shape(model: Model, height: int | None, width: int | None) -> tuple[int, int, int]:
    """(C, h, w) of one picture; by default what the model was trained on.

    Raises:
        ShapeError: A side is no positive multiple of the model's factor.
    """
    f = model.codec.factor
    h = height if height is not None else model.sample_size[0] * f
    w = width if width is not None else model.sample_size[1] * f
    if h < f or w < f or h % f or w % f:
        raise ShapeError(
            "the model cannot make pictures of this size",
            got=f"{w} x {h}",
            expected=f"positive multiples of {f}",
            remedy=f"use {max(round(w / f), 1) * f} x {max(round(h / f), 1) * f}",
        )
    return model.channels, h // f, w // f


def sampler(name: SamplerName | Sampler, model: Model, scheduler: Any, steps: int) -> Sampler:
    """The sampler of that name.

    Raises:
        UsageError: There is none.
    """
    if isinstance(name, Sampler):
        return name
    if name == "scheduler":
        return FromDiffusers(scheduler, steps)
    kinds: dict[str, Callable[..., Sampler]] = {"ddim": DDIM, "euler": Euler, "heun": Heun}
    if name not in kinds:
        raise UsageError("unknown sampler", got=name, expected=", ".join([*kinds, "scheduler"]))
    return kinds[name](model.schedule.levels(steps))


def start(
    sampler: Sampler,
    shape: tuple[int, ...],
    generator: Generators,
    device: torch.device,
    latents: Tensor | None,
) -> Tensor:
    """What the walk starts from.

    Raises:
        ShapeError: Generators or latents do not fit the batch.
    """
    if isinstance(generator, Sequence) and len(generator) != shape[0]:
        raise ShapeError(
            "one generator per picture is needed", got=len(generator), expected=shape[0]
        )
    if latents is None:
        return sampler.initial(shape, generator, device=device)
    if tuple(latents.shape) != shape:
        raise ShapeError(
            "the starting latents do not fit", got=tuple(latents.shape), expected=shape
        )
    # Scaled like the noise that the sampler itself would draw.
    one = sampler.initial((1,), torch.Generator().manual_seed(0))
    unit = torch.randn((1,), generator=torch.Generator().manual_seed(0))
    return latents.to(device, torch.float32) * float(one / unit)


def codec(model: Model, cells: tuple[int, int]) -> Codec:
    """The codec for a canvas of latent `cells` (h, w): in tiles where it is large."""
    tiling = bool(getattr(model.components.get("vae"), "use_tiling", False))
    side = tile_side(cells, model.sample_size, tiling)
    return model.codec if side is None else Tiled(model.codec, side, overlap=side // 4)


def described(prompt: object, method: str, steps: int, guidance: float) -> dict[str, Any]:
    """What a call asked for, for the header of its trace."""
    own = prompt.model_dump(mode="json", exclude_unset=True) if isinstance(prompt, Scene) else None
    asked = {"prompt": prompt} if own is None else {"scene": own, "method": method}
    return {**asked, "steps": steps, "guidance": guidance}


def trace(log: Trace, moment: Moment, codec: Codec, plan: Plan) -> None:
    """Write one step: the clean picture foreseen, its latents, the level, the states."""
    x0, level = plan.picture.observe(moment.prediction.x0), moment.step.now
    preview = (codec.decode(x0, wrap=plan.wrap) / 2 + 0.5).clamp(0, 1)
    scale = min(_PREVIEW / max(preview.shape[-2:]), 1.0)
    tensors = {
        "preview": F.interpolate(preview, scale_factor=scale, mode="area"),
        "x0": x0,
        "alpha": level.alpha,
        "sigma": level.sigma,
    }
    log.log(moment.step.index, {**tensors, **collect(plan.denoiser, moment.state)})
