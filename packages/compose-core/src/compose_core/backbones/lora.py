"""Low-rank changes of a UNet (LoRA, Hu et al. 2021, arXiv 2106.09685), folded into its weights.

The file is that of diffusers: for a layer `unet.<name>` with weight W (out, in, ...) the tensors
`lora_A.weight` (r, in, ...) and `lora_B.weight` (out, r, ...), or `lora.down.weight` and
`lora.up.weight`; the layer becomes W + s (a / r) B A (Section 4.1), where a is `alpha`, or r where
there is none, and s the strength of the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from compose_core.errors import WeightsError
from compose_core.zoo.beside import TENSORS, read_index

__all__ = ["add_lora"]

_PART = "unet."
_DOWN = (".lora_A.weight", ".lora.down.weight")
_UP = (".lora_B.weight", ".lora.up.weight")
_ALPHA = ".alpha"


def add_lora(parts: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The parts of a base model with the changes of a folder in its UNet.

    Args:
        parts: As of `load_components`; the UNet is changed in place.
        folder: With `lora.json` and `pytorch_lora_weights.safetensors`.

    Raises:
        WeightsError: The file is missing or damaged, changes something else than layers of a
            UNet, or was made for another model; then nothing is changed.
    """
    base, strength = read_index(folder)
    path = folder / TENSORS
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"the changes in {folder} cannot be read", got=error, expected=f"a readable {TENSORS}"
        ) from error
    unet = cast(nn.Module, parts["unet"])
    weights = dict(unet.named_parameters())
    changes = {
        name: strength * _product(name, *found, like=weights.get(f"{name}.weight"), base=base)
        for name, found in _pairs(tensors, path).items()
    }
    with torch.no_grad():
        for name, change in changes.items():
            weight = weights[f"{name}.weight"]
            weight.copy_(weight.float() + change)
    return dict(parts)


def _pairs(tensors: Mapping[str, Tensor], path: Path) -> dict[str, tuple[Tensor, Tensor, float]]:
    """A, B and a / r of each layer."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        ends = {"A": _DOWN, "B": _UP, "a": (_ALPHA,)}
        hit = next(((k, e) for k, many in ends.items() for e in many if key.endswith(e)), None)
        if hit is None or not key.startswith(_PART):
            raise WeightsError(
                f"{path} holds what cannot be added here",
                got=key,
                expected="unet.<layer>.lora_A.weight and unet.<layer>.lora_B.weight",
                remedy="load it with diffusers, call fuse_lora() and unload_lora_weights(), and "
                "save the whole model with save_pretrained()",
            )
        found.setdefault(key[len(_PART) : -len(hit[1])], {})[hit[0]] = value.float()
    pairs: dict[str, tuple[Tensor, Tensor, float]] = {}
    for name, one in found.items():
        if not {"A", "B"} <= set(one):
            raise WeightsError(
                f"{path} has half of a change", got=f"{name}: {', '.join(one)}", expected="A and B"
            )
        rank = one["A"].shape[0]
        pairs[name] = one["A"], one["B"], float(one["a"]) / rank if "a" in one else 1.0
    if not pairs:
        raise WeightsError(f"{path} is empty", expected="changes of at least one layer")
    return pairs


def _product(
    name: str, a: Tensor, b: Tensor, scale: float, *, like: Tensor | None, base: str
) -> Tensor:
    """(a / r) B A in the shape of the weight that it changes."""
    fits = like is not None and b.flatten(1).shape == (like.shape[0], a.shape[0])
    if like is None or not fits or a.shape[1:] != like.shape[1:]:
        raise WeightsError(
            "these changes were made for another model",
            got=f"{name}: A {tuple(a.shape)}, B {tuple(b.shape)}",
            expected="no such layer" if like is None else f"weight {tuple(like.shape)}",
            remedy=f"name the model that they were trained on instead of {base}",
        )
    change = scale * (b.flatten(1) @ a.flatten(1)).view_as(like)
    if not bool(change.isfinite().all()):
        raise WeightsError("a change is not finite", got=name, remedy="it was damaged in training")
    return change.to(like.device)
