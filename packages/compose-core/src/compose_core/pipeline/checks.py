"""Whether a call of the pipeline makes sense, asked before anything is computed."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, cast

from torch import Tensor

from compose_core.errors import ShapeError, UsageError, WeightsError
from compose_core.scene import Scene
from compose_core.scene.layer import short

COMPONENTS = (
    "vae", "text_encoder", "tokenizer", "unet", "scheduler", "controlnet", "text_encoder_2",
    "tokenizer_2",
)  # fmt: skip
"""What the pipeline is made of."""

OPTIONAL = ("controlnet", "text_encoder_2", "tokenizer_2")
"""What it can do without."""


def check(prompt: object, output_type: str, count: int) -> None:
    """Refuse a call before anything is computed.

    Raises:
        UsageError: No prompt, an unknown output type, or no pictures.
    """
    shown = short(prompt)
    several = cast("Sequence[object]", prompt) if isinstance(prompt, (list, tuple)) else None
    if prompt is None or (several is not None and not several):
        raise UsageError("nothing to draw", got=shown, expected="a prompt, several, or a Scene")
    texts = several is not None and all_texts(several)
    if not (texts or isinstance(prompt, (str, Scene))):
        raise UsageError(
            "this cannot be drawn",
            got=shown,
            expected="a text, a list of texts, or one Scene",
            remedy="for a scene file: load_scene(path)",
        )
    if output_type not in ("pil", "np", "pt", "latent"):
        raise UsageError("unknown output type", got=output_type, expected="pil, np, pt or latent")
    if not _whole(count) or count < 1:
        raise UsageError("at least one picture", got=repr(count))


def check_known(kind: type, parts: Mapping[str, object]) -> None:
    """Refuse a model with parts that a pipeline cannot take.

    Raises:
        WeightsError: It has two text encoders, and the pipeline knows of one.
    """
    known = inspect.signature(kind).parameters
    more = sorted(name for name in parts if name not in known)
    if more:
        raise WeightsError(
            f"{kind.__name__} cannot use this model",
            got=f"a model with {', '.join(more)}",
            expected="one of the layout of Stable Diffusion 1 or 2",
        )


def check_numbers(steps: object, guidance: object, height: object, width: object) -> None:
    """Refuse numbers that are none.

    Raises:
        UsageError: Steps or a side is no whole number, or guidance no number.
    """
    sides = {"height": height, "width": width}
    whole = {"num_inference_steps": steps, **{k: v for k, v in sides.items() if v is not None}}
    for name, value in whole.items():
        if not _whole(value):
            raise UsageError(f"{name} is not a whole number", got=repr(value))
    if isinstance(guidance, bool) or not isinstance(guidance, Real):
        raise UsageError("guidance_scale is not a number", got=repr(guidance))


def check_scene(height: int | None, width: int | None, negative: object) -> None:
    """Refuse arguments that a scene would overrule.

    Raises:
        UsageError: A size or a negative prompt beside a scene.
    """
    given = {"height": height, "width": width, "negative_prompt": negative}
    if also := [name for name, value in given.items() if value is not None]:
        raise UsageError(
            "a scene has these of its own",
            got=", ".join(also),
            remedy="write `canvas` and `negative` in the scene, or use "
            'scene.model_copy(update={"negative": ...})',
        )


def check_latents(latents: object, shape: tuple[int, ...]) -> None:
    """Refuse latents that a callback returned and that do not fit.

    Raises:
        ShapeError: They have another shape, or are no tensor.
    """
    found = tuple(latents.shape) if isinstance(latents, Tensor) else type(latents).__name__
    if found != shape:
        raise ShapeError("the latents of the callback do not fit", got=found, expected=shape)


def all_texts(values: Iterable[object]) -> bool:
    """Whether all are texts."""
    return all(isinstance(value, str) for value in values)


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and value is not True and value is not False


def components(given: Mapping[str, Any]) -> dict[str, Any]:
    """The components among the arguments of `from_pretrained`; the others are checked.

    Raises:
        UsageError: An argument is unknown, or asks for what is never done here.
    """
    settled = {"use_safetensors": True, "local_files_only": True}
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in COMPONENTS:
            if value is None and name not in OPTIONAL:
                raise UsageError("the pipeline needs this component", got=f"{name}=None")
            found[name] = value
        elif value is not None and value is not settled.get(name):
            raise UsageError(
                "from_pretrained does not take this argument",
                got=f"{name}={value!r}" if isinstance(value, (str, bool)) else name,
                expected=f"dtype, variant, or a component: {', '.join(COMPONENTS)}",
                remedy="only safetensors from a folder on this machine are read, and no code",
            )
    return found
