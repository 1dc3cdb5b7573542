"""A folder with what Compose and Conquer adds to a base model.

    cnc.json            what this is, and for which base
    local_fuser/        config.json and safetensors, as `save_pretrained` writes them
    global_fuser/
    image_encoder/      a CLIPVisionModelWithProjection
    feature_extractor/  preprocessor_config.json

Parts may be missing: a network can have depth alone, or exemplars alone. Loading is strict: only
these classes, only safetensors, nothing downloaded, every weight accounted for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from torch import nn

from compose_cnc.exemplars import ExemplarEncoder, Preprocess
from compose_cnc.model import GlobalFuser, LocalFuser
from compose_core.errors import UsageError, WeightsError

__all__ = ["Adapter", "load_adapter", "save_adapter"]

FORMAT = 1
_INDEX = "cnc.json"
_PREPROCESS = Path("feature_extractor") / "preprocessor_config.json"


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """The parts that are added to a base model.

    Attributes:
        local_fuser: Sees depth.
        global_fuser: Makes tokens of exemplars.
        exemplars: Makes embeddings of exemplars; of the width that the global fuser takes.
        base: The base model's id in the zoo, or "".

    Raises:
        WeightsError: The picture encoder has another width than the global fuser takes.
    """

    local_fuser: LocalFuser | None = None
    global_fuser: GlobalFuser | None = None
    exemplars: ExemplarEncoder | None = None
    base: str = ""

    def __post_init__(self) -> None:
        """Refuse parts that do not fit one another."""
        if self.global_fuser is None or self.exemplars is None:
            return
        if self.exemplars.dim != self.global_fuser.embedding_dim:
            raise WeightsError(
                "the picture encoder does not fit the global fuser",
                got=f"embeddings of width {self.exemplars.dim}",
                expected=f"width {self.global_fuser.embedding_dim}",
                remedy="use the picture encoder that the fuser was trained with",
            )

    def check_base(self, unet: nn.Module, factor: int) -> None:
        """Refuse a base model that these parts were not made for.

        Args:
            unet: Its `UNet2DConditionModel`.
            factor: Pixels per latent cell of its codec.

        Raises:
            WeightsError: Widths, blocks or factors differ.
        """
        config = cast(Any, unet).config
        wanted: dict[str, object] = {}
        if self.global_fuser is not None:
            wanted["cross_attention_dim"] = self.global_fuser.width
        if self.local_fuser is not None:
            own = cast(Any, self.local_fuser).config
            names = ("in_channels", "block_out_channels", "down_block_types", "layers_per_block")
            wanted |= {name: own[name] for name in (*names, "cross_attention_dim")}
            wanted["factor of the codec"] = self.local_fuser.factor
        found = {name: config.get(name, factor) for name in wanted}
        wrong = [k for k, v in wanted.items() if _plain(found[k]) != _plain(v)]
        if wrong:
            raise WeightsError(
                "these fusers were made for another base model",
                got=", ".join(f"{name} = {found[name]}" for name in wrong),
                expected=", ".join(f"{name} = {wanted[name]}" for name in wrong),
                remedy=f"load them with {self.base or 'the model that they were trained on'}",
            )


def save_adapter(folder: str | Path, adapter: Adapter) -> Path:
    """Write an adapter; parts that are there already are replaced.

    Raises:
        UsageError: It has no parts.
    """
    folder = Path(folder)
    parts = _parts(adapter)
    if not parts:
        raise UsageError("there is nothing to save", expected="at least one part")
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        cast(Any, part).save_pretrained(folder / name, safe_serialization=True)
    if adapter.exemplars is not None:
        (folder / _PREPROCESS).parent.mkdir(exist_ok=True)
        _write(folder / _PREPROCESS, adapter.exemplars.preprocess.config())
    _write(folder / _INDEX, {"format": FORMAT, "base": adapter.base, "parts": sorted(parts)})
    return folder


def load_adapter(
    folder: str | Path,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Adapter:
    """Read what `save_adapter` wrote.

    Args:
        folder: Where; `compose_core.zoo.resolve` finds one by its id.
        dtype: What the networks compute in.
        device: Where they go.

    Raises:
        WeightsError: It is no such folder, of a later format, or a part is missing or damaged.
    """
    folder = Path(folder)
    index = _read(folder / _INDEX)
    known: dict[str, Any] = {
        "local_fuser": LocalFuser,
        "global_fuser": GlobalFuser,
        "image_encoder": transformers.CLIPVisionModelWithProjection,
    }
    listed = index.get("parts")
    good = isinstance(listed, list) and listed and set(listed) <= set(known)
    if index.get("format") != FORMAT or not good:
        raise WeightsError(
            f"{folder} cannot be read",
            got=index,
            expected=f"format {FORMAT} with parts among {', '.join(known)}",
            remedy="update compose-cnc" if index.get("format") != FORMAT else None,
        )
    parts = {
        name: _load(name, known[name], folder / name, dtype).to(device)
        for name in cast("list[str]", listed)
    }
    encoder = parts.pop("image_encoder", None)
    exemplars = None
    if encoder is not None:
        preprocess = Preprocess.from_config(_read(folder / _PREPROCESS))
        exemplars = ExemplarEncoder(encoder, preprocess)
    return Adapter(exemplars=exemplars, base=str(index.get("base", "")), **parts)


def _parts(adapter: Adapter) -> dict[str, nn.Module]:
    encoder = None if adapter.exemplars is None else adapter.exemplars.network
    parts = {
        "local_fuser": adapter.local_fuser,
        "global_fuser": adapter.global_fuser,
        "image_encoder": encoder,
    }
    return {name: part for name, part in parts.items() if part is not None}


def _load(name: str, cls: Any, folder: Path, dtype: torch.dtype) -> Any:
    options: dict[str, Any] = {
        "dtype": dtype,
        "use_safetensors": True,
        "local_files_only": True,
        "output_loading_info": True,
    }
    part, info = _guard(name, folder, lambda: cls.from_pretrained(folder, **options))
    wrong = {key: list(info[key]) for key in _MISFITS if info[key]}
    if wrong:
        raise WeightsError(
            f"the weights of the {name} do not fit its configuration",
            got=", ".join(f"{len(v)} {k.replace('_', ' ')}: {v[:3]}" for k, v in wrong.items()),
            expected="exactly the tensors that its config describes",
            remedy=f"check {folder}",
        )
    return part.eval()


_MISFITS = ("missing_keys", "unexpected_keys", "mismatched_keys")


def _guard(name: str, folder: Path, load: Callable[[], Any]) -> Any:
    if not folder.is_dir():
        raise WeightsError(f"the {name} is missing", expected=f"a folder {folder}")
    bars = cast(Any, transformers).utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        return load()
    except Exception as error:  # the libraries raise nearly anything on damaged files
        raise WeightsError(
            f"the {name} cannot be loaded",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            expected=f"config and safetensors in {folder}",
        ) from error
    finally:
        if shown:
            bars.enable_progress_bar()


def _read(path: Path) -> dict[str, Any]:
    try:
        found: object = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path.parent} is no folder of compose-cnc",
            got=error,
            expected=f"a readable {path.name}",
            remedy="give a folder that `compose cnc convert` or training wrote",
        ) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is damaged", got=type(found).__name__, expected="an object")
    return cast("dict[str, Any]", found)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _plain(value: object) -> object:
    return tuple(cast("list[object]", value)) if isinstance(value, list) else value
