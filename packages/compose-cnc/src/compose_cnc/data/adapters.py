"""Networks from local folders, for the pipeline that makes triplets. Nothing is downloaded.

Only safetensors are opened and no code from a folder runs. A salient-object network has no common
format: any callable of `protocols.SalientObject` is used, named `MODULE:FACTORY`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast, final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_cnc.data.protocols import SalientObject
from compose_cnc.data.triplet import NEGATIVE, PROMPT
from compose_cnc.exemplars import ExemplarEncoder, Preprocess
from compose_core.errors import ComposeError, UsageError, WeightsError
from compose_core.zoo.digest import remembered_digest

__all__ = [
    "ClipEmbedding",
    "DiffusersInpainter",
    "TransformersDepth",
    "describe_folder",
    "load_exemplar_encoder",
    "salient_object",
]


@final
class DiffusersInpainter:
    """Any inpainting pipeline of diffusers, with what the paper asks it for (appendix A.2).

    Args:
        folder: The pipeline, as `save_pretrained` writes it.
        prompt: What to paint.
        negative: What not to.
        strength: 1 forgets what was under the mask.
        guidance: Scale of classifier-free guidance.
        steps: Of the pipeline's own scheduler.
        device: Where to compute.
        dtype: What to compute in.

    Raises:
        WeightsError: The folder holds no inpainting pipeline, or a damaged one.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        prompt: str = PROMPT,
        negative: str = NEGATIVE,
        strength: float = 1.0,
        guidance: float = 10.0,
        steps: int = 25,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        from diffusers import AutoPipelineForInpainting

        load = cast(Any, AutoPipelineForInpainting).from_pretrained
        self._pipeline: Any = _loaded(
            "inpainting pipeline",
            Path(folder),
            lambda: load(
                folder, local_files_only=True, use_safetensors=True, torch_dtype=dtype
            ).to(device),
        )
        self._pipeline.safety_checker = None  # it would blacken pictures of a training set
        self._pipeline.set_progress_bar_config(disable=True)
        self.options: dict[str, Any] = {
            "prompt": prompt,
            "negative_prompt": negative,
            "strength": strength,
            "guidance_scale": guidance,
            "num_inference_steps": steps,
        }

    def __call__(
        self, pictures: Tensor, masks: Tensor, generators: Sequence[torch.Generator]
    ) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] with their masked part (B, H, W) painted anew."""
        count, height, width = masks.shape
        words = {key: [self.options[key]] * count for key in ("prompt", "negative_prompt")}
        return self._pipeline(
            **{**self.options, **words},
            image=pictures,
            mask_image=masks[:, None],
            height=height,
            width=width,
            generator=list(generators),
            output_type="pt",
        ).images


@final
class TransformersDepth:
    """Any `AutoModelForDepthEstimation` (DPT, Depth Anything, ...), read as inverse depth.

    Args:
        folder: Model and image processor, as `save_pretrained` writes them.
        preprocess: `"processor"` prepares pictures as the model was trained; `"raw"` gives it
            values in [0, 1] at full size, as the official code of Compose and Conquer does.
        device: Where to compute.
        dtype: What to compute in.

    Raises:
        WeightsError: The folder holds no such model, or a damaged one.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        preprocess: Literal["processor", "raw"] = "processor",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        options = {"local_files_only": True, "trust_remote_code": False}
        read = cast(Any, AutoModelForDepthEstimation).from_pretrained
        self._model: Any = _strict(
            "depth estimator", Path(folder), lambda **more: read(folder, **options, **more), dtype
        ).to(device)
        self._processor: Any = None
        if preprocess == "processor":
            find = cast(Any, AutoImageProcessor).from_pretrained
            self._processor = _loaded(
                "image processor", Path(folder), lambda: find(folder, **options)
            )
        self._metric = getattr(self._model.config, "depth_estimation_type", "relative") == "metric"

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """Inverse depth (B, H, W) of pictures (B, 3, H, W) in [0, 1]: larger is nearer."""
        seen = pictures
        if self._processor is not None:
            found = self._processor(
                images=list(pictures.float()), do_rescale=False, return_tensors="pt"
            )
            seen = found["pixel_values"]
        weight = next(self._model.parameters())
        depth = self._model(pixel_values=seen.to(weight.device, weight.dtype)).predicted_depth
        if self._metric:  # metres: far is large
            depth = 1 / depth.clamp(min=1e-3)
        size = pictures.shape[2:]
        return F.interpolate(depth.float()[:, None], size, mode="bicubic", align_corners=False)[
            :, 0
        ]


@final
class ClipEmbedding:
    """The exemplar encoder that the global fuser listens to, for pictures in [0, 1]."""

    def __init__(self, encoder: ExemplarEncoder) -> None:
        self._encoder = encoder

    def __call__(self, pictures: Tensor) -> Tensor:
        """Embeddings (B, D) of pictures (B, 3, H, W) in [0, 1]."""
        return self._encoder.encode(pictures.clamp(0, 1) * 2 - 1)


def load_exemplar_encoder(
    folder: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ExemplarEncoder:
    """The vision half of CLIP, with its projection, from a folder of it or of all of CLIP.

    Its `preprocessor_config.json` is looked for in the folder, then in a `feature_extractor`
    beside it; without one, pictures are prepared as for OpenAI's CLIP, at the size of the model.

    Raises:
        WeightsError: The folder holds no such model, or a damaged one.
    """
    from transformers import CLIPVisionModelWithProjection

    folder = Path(folder)
    read = cast(Any, CLIPVisionModelWithProjection).from_pretrained
    network = _strict(
        "picture encoder",
        folder,
        lambda **more: read(folder, local_files_only=True, trust_remote_code=False, **more),
        dtype,
        spare=("text_model.", "text_projection.", "logit_scale"),
    )
    name = "preprocessor_config.json"
    places = (folder / name, folder.parent / "feature_extractor" / name)
    file = next((place for place in places if place.is_file()), None)
    side = int(network.config.image_size)
    preprocess = Preprocess(side, side)
    if file is not None:
        try:
            preprocess = Preprocess.from_config(json.loads(file.read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise WeightsError(
                "an image processor cannot be read", got=f"{file}: {error}"
            ) from error
    return ExemplarEncoder(network.to(device), preprocess)


def salient_object(name: str) -> SalientObject:
    """Call the factory `MODULE:FACTORY`, which makes a salient-object network.

    Raises:
        UsageError: There is none of that name, or what it makes cannot be called.
    """
    module, _, factory = name.partition(":")
    try:
        made = getattr(import_module(module), factory)() if module and factory else None
    except (ImportError, AttributeError) as error:
        raise UsageError(
            "the salient-object network cannot be found",
            got=f"{name}: {error}",
            expected="MODULE:FACTORY",
        ) from error
    if not callable(made):
        raise UsageError(
            "this makes no salient-object network",
            got=name,
            expected="MODULE:FACTORY, a function of no arguments that returns one",
        )
    return cast(SalientObject, made)


def describe_folder(folder: str | Path) -> dict[str, str]:
    """Name of a model's folder, and one sha256 for all configs and weights in it."""
    folder = Path(folder)
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors", ".txt"))
    if not files:
        raise WeightsError("there is no model", got=folder, expected="a folder with a model")
    lines = (f"{p.relative_to(folder).as_posix()} {remembered_digest(p)}" for p in files)
    return {
        "name": folder.absolute().name,
        "sha256": sha256("\n".join(lines).encode()).hexdigest(),
    }


def _strict(
    what: str,
    folder: Path,
    read: Callable[..., Any],
    dtype: torch.dtype,
    spare: tuple[str, ...] = (),
) -> Any:
    """A model of transformers, all of its weights from the file."""
    options: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True}
    model, info = _loaded(what, folder, lambda: read(dtype=dtype, **options))
    wrong = [
        name
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        for name in info[kind]
        if not (kind == "unexpected_keys" and str(name).startswith(spare or ("\0",)))
    ]
    if wrong:
        raise WeightsError(
            f"the weights of the {what} do not fit its configuration",
            got=f"{len(wrong)} names: {wrong[:3]}",
            remedy=f"check {folder}",
        )
    return model.eval().requires_grad_(False)


def _loaded(what: str, folder: Path, load: Callable[[], Any]) -> Any:
    if not folder.is_dir():
        raise WeightsError(f"the {what} is missing", expected=f"a folder {folder}")
    try:
        with _quiet():
            return load()
    except ComposeError:
        raise
    except Exception as error:  # the libraries raise nearly anything on damaged files
        raise WeightsError(
            f"the {what} cannot be loaded",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            expected=f"config and safetensors in {folder}",
        ) from error


@contextmanager
def _quiet() -> Generator[None]:
    """No progress bars while models load, and afterwards all as before."""
    import diffusers
    import transformers

    logs = [cast(Any, library).utils.logging for library in (diffusers, transformers)]
    shown = [log.is_progress_bar_enabled() for log in logs]
    for log in logs:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, before in zip(logs, shown, strict=True):
            if before:
                log.enable_progress_bar()
