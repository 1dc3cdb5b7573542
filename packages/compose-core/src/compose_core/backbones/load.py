"""Loading a model folder of the Stable Diffusion layout, strictly.

Only classes named here are built, only safetensors are opened, nothing is downloaded and no code
from the folder runs. A weight that is missing, left over or of the wrong shape is an error: the
libraries below would fill it with random numbers and go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
import transformers
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from torch import nn

from compose_core import zoo
from compose_core.backbones import lora
from compose_core.backbones.text import SecondEncoder, TextEncoder
from compose_core.backbones.unet import ControlledUNet, UNetNetwork
from compose_core.codec import Codec, VAECodec
from compose_core.denoiser import Network
from compose_core.errors import ComposeError, WeightsError
from compose_core.schedule import DiscreteVP, Schedule
from compose_core.zoo.beside import is_beside

__all__ = ["Model", "assemble", "load_components", "load_controlnet", "load_model"]

_CLASSES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "unet": (diffusers, ("UNet2DConditionModel",)),
    "vae": (diffusers, ("AutoencoderKL", "AutoencoderTiny")),
    "controlnet": (diffusers, ("ControlNetModel",)),
    "text_encoder": (transformers, ("CLIPTextModel",)),
    "tokenizer": (transformers, ("CLIPTokenizer", "CLIPTokenizerFast")),
    "text_encoder_2": (transformers, ("CLIPTextModelWithProjection",)),
    "tokenizer_2": (transformers, ("CLIPTokenizer", "CLIPTokenizerFast")),
}
_OPTIONAL = ("controlnet", "text_encoder_2", "tokenizer_2")
_EMPTY = "force_zeros_for_empty_prompt"
_INPUTS = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type")
"""What a UNet's config may ask for that no question holds."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded base model.

    Attributes:
        network: Predicts; reads `"text"`, `"pooled"` if it is of Stable Diffusion XL, and
            `"control"` when it has a ControlNet.
        text: Encodes prompts.
        codec: Latents to pictures.
        schedule: The one the network was trained on.
        sample_size: (h, w) of the latents that it was trained on.
        folder: Where it came from, if from a folder.
        id: Its name in the zoo, or the name of the folder.
        components: The parts by their names in a diffusers pipeline.
    """

    network: Network
    text: TextEncoder
    codec: Codec
    schedule: Schedule
    sample_size: tuple[int, int]
    folder: Path | None = None
    id: str = ""
    components: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return self.codec.channels


def load_model(
    folder: str | Path,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    *,
    controlnet: str | Path | None = None,
    id: str = "",
) -> Model:
    """Load a folder with `model_index.json`, `unet/`, `vae/`, `text_encoder/`, `tokenizer/`, ....

    Args:
        folder: The model; `compose_core.zoo.resolve` finds one by its id.
        dtype: What the networks compute in.
        device: Where they go.
        controlnet: Folder of a `ControlNetModel` to add.
        id: The name to remember it by; default the folder's.

    Raises:
        WeightsError: A part is missing, of an unknown class, or its weights do not fit.
    """
    folder = Path(folder)
    parts = load_components(folder, dtype)
    if controlnet is not None:
        parts["controlnet"] = load_controlnet(controlnet, dtype)
    for part in parts.values():
        if isinstance(part, nn.Module):
            part.to(device)
    return assemble(parts, folder=folder, id=id or folder.name)


def load_controlnet(folder: str | Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Load a `ControlNetModel` on the CPU, every weight accounted for.

    Args:
        folder: With its config and safetensors.
        dtype: What it computes in.

    Raises:
        WeightsError: It is missing or damaged, or its weights do not fit.
    """
    return cast(nn.Module, _load_part("controlnet", "ControlNetModel", Path(folder), dtype))


def assemble(parts: Mapping[str, Any], *, folder: Path | None = None, id: str = "") -> Model:
    """A `Model` from the parts of a diffusers pipeline.

    Raises:
        WeightsError: The UNet works on other latents than those of the VAE, hears other text
            encoders, or needs inputs that are not given here (inpainting, upscaling, refining).
    """
    scheduler, unet = parts["scheduler"], parts["unet"]
    codec = VAECodec(parts["vae"])
    second = _second(parts)
    _check_unet(unet.config, codec.channels, _width(parts), paired=second is not None)
    config = cast("Mapping[str, Any]", scheduler.config)
    schedule = DiscreteVP.from_config(config)
    kind = config.get("prediction_type", "epsilon")
    if parts.get("controlnet") is not None:
        network: Network = ControlledUNet(
            unet, parts["controlnet"], schedule, kind, factor=codec.factor
        )
    else:
        network = UNetNetwork(unet, schedule, kind, factor=codec.factor)
    size = unet.config.sample_size
    return Model(
        network=network,
        text=TextEncoder(parts["tokenizer"], parts["text_encoder"], second),
        codec=codec,
        schedule=schedule,
        sample_size=(size, size) if isinstance(size, int) else (int(size[0]), int(size[1])),
        folder=folder,
        id=id,
        components=dict(parts),
    )


def _second(parts: Mapping[str, Any]) -> SecondEncoder | None:
    """The other text encoder, if there is one; it comes with its tokenizer."""
    encoder, tokenizer = (parts.get(name) for name in ("text_encoder_2", "tokenizer_2"))
    if encoder is None and tokenizer is None:
        return None
    if encoder is None or tokenizer is None:
        raise WeightsError(
            "the model has half of a second text encoder",
            got="tokenizer_2 alone" if encoder is None else "text_encoder_2 alone",
            expected="both, or neither",
        )
    return SecondEncoder(tokenizer, encoder, bool(parts.get(_EMPTY, True)))


def _width(parts: Mapping[str, Any]) -> int:
    """Width of the text embedding: that of both encoders together."""
    encoders = (parts.get(name) for name in ("text_encoder", "text_encoder_2"))
    return sum(int(encoder.config.hidden_size) for encoder in encoders if encoder is not None)


def _check_unet(unet: Mapping[str, Any], channels: int, width: int, *, paired: bool) -> None:
    """Refuse now what would fail at the first step."""
    fits = {"in_channels": channels, "out_channels": channels, "cross_attention_dim": width}
    needs: dict[str, Any] = {**fits, **dict.fromkeys(_INPUTS)}
    if paired:
        needs["addition_embed_type"] = "text_time"
    wrong = {name: unet.get(name) for name, fit in needs.items() if unet.get(name) != fit}
    if isinstance(wrong.get("cross_attention_dim"), (list, tuple)):  # one of each block
        del wrong["cross_attention_dim"]
    if wrong:
        raise WeightsError(
            "the unet does not fit the vae and the text encoder, or needs more than they give",
            got=", ".join(f"{name} = {value}" for name, value in wrong.items()),
            expected=", ".join(f"{name} = {needs[name]}" for name in wrong),
            remedy="use a text-to-image model of the layout of Stable Diffusion 1, 2 or XL; "
            "models for inpainting, upscaling and refining have another",
        )


def load_components(
    folder: Path, dtype: torch.dtype = torch.float32, variant: str | None = None
) -> dict[str, Any]:
    """The parts that `model_index.json` lists and this package knows, on the CPU.

    A folder with `lora.json` gives the parts of the base that it names, changed. Parts such as a
    safety checker are not loaded. With a `variant`, such as `"fp16"`, weights are
    read from `*.fp16.safetensors`; a part that has none is read from its plain file.

    Raises:
        WeightsError: As `load_model`.
    """
    if is_beside(folder):
        return lora.add_lora(load_components(zoo.base_folder(folder), dtype, variant), folder)
    index = _read_json(folder / "model_index.json")
    if variant is not None and not any(_has_variant(folder / name, variant) for name in _CLASSES):
        raise WeightsError(
            "the model has no weights of this variant",
            got=variant,
            expected=f"files such as {folder}/unet/*.{variant}.safetensors",
        )
    parts: dict[str, Any] = {}
    for name in _CLASSES:
        entry = index.get(name)
        if entry is None or entry == [None, None]:
            if name in _OPTIONAL:
                continue
            raise WeightsError(
                f"the model in {folder} has no {name}",
                got=f"model_index.json with {', '.join(sorted(index))}",
                expected=", ".join(n for n in _CLASSES if n not in _OPTIONAL),
            )
        pair = cast("list[object]", entry) if isinstance(entry, list) else []
        kind = pair[1] if len(pair) == 2 else cast(object, entry)
        parts[name] = _load_part(name, kind, folder / name, dtype, variant)
    parts["scheduler"] = _load_scheduler(folder / "scheduler")
    if parts.get("text_encoder_2") is not None:
        parts[_EMPTY] = bool(index.get(_EMPTY, True))
    return parts


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path.parent} is no model folder",
            got=error,
            expected=f"a readable {path.name}",
            remedy="give the folder of a diffusers model, or an id from `compose zoo list`",
        ) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is damaged", got=type(found).__name__, expected="an object")
    return cast("dict[str, Any]", found)


def _has_variant(folder: Path, variant: str) -> bool:
    return any(f".{variant}" in path.name for path in folder.glob("*.safetensors*"))


def _load_part(
    name: str, kind: object, folder: Path, dtype: torch.dtype, variant: str | None = None
) -> Any:
    library, allowed = _CLASSES[name]
    if kind not in allowed:
        raise WeightsError(
            f"the {name} is of a class that is not loaded here",
            got=kind,
            expected=" or ".join(allowed),
            remedy="code from model folders is never run",
        )
    if not folder.is_dir():
        raise WeightsError(f"the {name} is missing", expected=f"a folder {folder}")
    if name.startswith("tokenizer"):
        return _guard(name, folder, lambda: _tokenizer(folder))
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    options["output_loading_info"] = True
    if variant is not None and _has_variant(folder, variant):
        options["variant"] = variant
    # Both libraries read `dtype`; transformers must also be told to run nothing from the folder.
    if library is transformers:
        options["trust_remote_code"] = False
    cls = getattr(library, str(kind))
    part, info = _guard(name, folder, lambda: cls.from_pretrained(folder, dtype=dtype, **options))
    wrong = {
        key: list(info[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")
    }
    if any(wrong.values()):
        raise WeightsError(
            f"the weights of the {name} do not fit its configuration",
            got=", ".join(
                f"{len(v)} {k.replace('_', ' ')}: {v[:3]}" for k, v in wrong.items() if v
            ),
            expected=f"exactly the tensors of {kind}",
            remedy=f"check {folder}; `compose zoo verify` compares it with what was published",
        )
    return part.eval()


def _tokenizer(folder: Path) -> Any:
    cls = cast(Any, transformers).CLIPTokenizer
    return cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _load_scheduler(folder: Path) -> Any:
    config = _read_json(folder / "scheduler_config.json")
    cls = getattr(diffusers, str(config.get("_class_name")), None)
    if not (isinstance(cls, type) and issubclass(cls, SchedulerMixin)):
        raise WeightsError(
            "the scheduler is of an unknown class",
            got=config.get("_class_name"),
            expected="a scheduler of diffusers",
        )
    return _guard("scheduler", folder, lambda: cast(Any, cls).from_config(config))


def _guard(name: str, folder: Path, load: Callable[[], Any]) -> Any:
    try:
        with _quiet():
            return load()
    except ComposeError:
        raise
    except Exception as error:  # the libraries raise nearly anything on damaged files
        raise WeightsError(
            f"the {name} cannot be loaded",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            expected=f"config and safetensors in {folder}",
            remedy="check the folder; `compose zoo verify` compares it with what was published",
        ) from error


@contextmanager
def _quiet() -> Generator[None]:
    """No progress bars for weights that load in a moment, and no remarks on spare config keys.

    (`AutoencoderTiny` remarks on a key that it writes itself.) What matters is an error here.
    """
    bars, remarks = cast(Any, transformers).utils.logging, cast(Any, diffusers).utils.logging
    shown, verbosity = bars.is_progress_bar_enabled(), remarks.get_verbosity()
    bars.disable_progress_bar()
    remarks.set_verbosity_error()
    try:
        yield
    finally:
        remarks.set_verbosity(verbosity)
        if shown:
            bars.enable_progress_bar()
