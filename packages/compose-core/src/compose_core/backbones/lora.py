"""Low-rank changes of a UNet (LoRA, Hu et al. 2021, arXiv 2106.09685), folded into its weights.

The file is that of diffusers: for a layer `unet.<name>` with weight W (out, in, ...) the tensors
`lora_A.weight` (r, in, ...) and `lora_B.weight` (out, r, ...), or `lora.down.weight` and
`lora.up.weight`; the layer becomes W + s (a / r) B A (Section 4.1), where a is `lora_alpha` in the
file's header, or r where it says none, and s the strength of the folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from compose_core.errors import WeightsError
from compose_core.zoo.beside import TENSORS, read_index

__all__ = ["add_lora"]

_PART = "unet."
_DOWN = (".lora_A.weight", ".lora.down.weight")
_UP = (".lora_B.weight", ".lora.up.weight")
_HEADER = "lora_adapter_metadata"
_REMEDY = (
    "load it with diffusers, call fuse_lora() and unload_lora_weights(), and save the whole model "
    "with save_pretrained()"
)


class _Change(NamedTuple):
    """A (r, in, ...) and B (out, r, ...) of a layer."""

    a: Tensor
    b: Tensor


def add_lora(parts: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The parts of a base model with the changes of a folder in its UNet.

    Args:
        parts: As of `load_components`; the UNet is changed in place.
        folder: With `lora.json` and `pytorch_lora_weights.safetensors`.

    Raises:
        WeightsError: The file is missing or damaged, changes something else than layers of a
            UNet, or was made for another model; then nothing is changed.
    """
    index = read_index(folder)
    path = folder / TENSORS
    tensors, header = _read(path)
    scale = _scale(header, path)
    weights = dict(cast(nn.Module, parts["unet"]).named_parameters())
    changes = _pairs(tensors, path)

    def changed(name: str) -> Tensor:
        change = changes[name]
        factor = index.strength * scale(change.a.shape[0])
        return _changed(weights[f"{name}.weight"], change, factor)

    # All are tried before the first is written; they are not kept, which would take a second UNet.
    for name, change in changes.items():
        _check(name, change, weights.get(f"{name}.weight"), index.base)
        if not bool(changed(name).isfinite().all()):
            raise WeightsError(
                f"{path} would make weights that are not finite",
                got=f"{name} at strength {index.strength:g}",
                remedy="lower the strength, or load the model in float32; the file may be damaged",
            )
    with torch.no_grad():
        for name in changes:
            weights[f"{name}.weight"].copy_(changed(name))
    return dict(parts)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, and what the header says of the UNet's changes."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {str(key): cast(Tensor, file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
            header: object = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(
            f"the changes in {path.parent} cannot be read",
            got=error,
            expected=f"a readable {TENSORS}",
        ) from error
    said = cast("dict[str, Any]", header) if isinstance(header, dict) else {}
    return tensors, {k[len(_PART) :]: v for k, v in said.items() if k.startswith(_PART)}


def _scale(header: Mapping[str, Any], path: Path) -> Callable[[int], float]:
    """Alpha over the rank, or over its root where the header says so (Kalajdzievski 2023)."""
    alpha = header.get("lora_alpha")
    known = alpha is None or (isinstance(alpha, (int, float)) and math.isfinite(alpha))
    if not known or header.get("alpha_pattern") or header.get("use_dora"):
        names = ("lora_alpha", "alpha_pattern", "use_dora")
        raise WeightsError(
            f"{path} asks for what is not done here",
            got=", ".join(f"{name} = {header[name]}" for name in names if header.get(name)),
            expected="one lora_alpha for all layers",
            remedy=_REMEDY,
        )
    if alpha is None:
        return lambda rank: 1.0
    if header.get("use_rslora"):
        return lambda rank: float(alpha) / math.sqrt(rank)
    return lambda rank: float(alpha) / rank


def _pairs(tensors: Mapping[str, Tensor], path: Path) -> dict[str, _Change]:
    """A and B of each layer."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        ends = {"A": _DOWN, "B": _UP}
        hit = next(((k, e) for k, many in ends.items() for e in many if key.endswith(e)), None)
        if hit is None or not key.startswith(_PART):
            raise WeightsError(
                f"{path} holds what cannot be added here",
                got=key,
                expected="unet.<layer>.lora_A.weight and unet.<layer>.lora_B.weight",
                remedy=_REMEDY,
            )
        one = found.setdefault(key[len(_PART) : -len(hit[1])], {})
        if hit[0] in one:
            raise WeightsError(f"{path} changes a layer twice", got=key, expected="one name each")
        one[hit[0]] = value
    for name, one in found.items():
        if len(one) < 2:
            raise WeightsError(
                f"{path} has half of a change",
                got=f"{name}: {next(iter(one))}",
                expected="A and B",
            )
    if not found:
        raise WeightsError(f"{path} is empty", expected="changes of at least one layer")
    return {name: _Change(one["A"], one["B"]) for name, one in found.items()}


def _check(name: str, change: _Change, weight: Tensor | None, base: str) -> None:
    a, b = change
    if weight is not None and a.ndim == b.ndim == weight.ndim >= 2 and a.shape[0] >= 1:
        rank = a.shape[0]
        thin = (len(weight), rank, *(1 for _ in b.shape[2:]))
        if b.shape == thin and a.shape[1:] == weight.shape[1:]:
            return
    raise WeightsError(
        "these changes were made for another model",
        got=f"{name}: A {tuple(a.shape)}, B {tuple(b.shape)}",
        expected="no such layer" if weight is None else f"weight {tuple(weight.shape)}",
        remedy=f"name the model that they were trained on instead of {base}",
    )


def _changed(weight: Tensor, change: _Change, scale: float) -> Tensor:
    """W + scale B A in the dtype of W, computed in single precision or better."""
    fine = torch.promote_types(weight.dtype, torch.float32)
    a, b = (x.to(weight.device, fine).flatten(1) for x in change)
    return (weight.detach().to(fine) + scale * (b @ a).view_as(weight)).to(weight.dtype)
