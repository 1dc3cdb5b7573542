"""Labels as a folder of pictures that any program can open and change.

| file | holds |
|---|---|
| ``semantics.png`` | class numbers, 8 or 16 bit |
| ``depth.png``, ``edges.png`` | the range of the label on 0 to 65535 (16 bit) or to 255 |
| ``normals.png`` | unit vectors: -1 to 1 on 1 to 255 |
| ``curvature.png`` | red and green: -8 to 8 per metre on 1 to 255 |
| ``NAME.valid.png`` | white where NAME is valid; without it NAME is valid everywhere |
| ``labels.json`` | ``{"inverse_depth": [far, near]}``: 1 / metre of depth 0 and 1, if known |

Any of them may be absent: that label is missing.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import SceneError
from compose_core.run.files import check_writable, write_atomic
from compose_tlam.checks import check_layer
from compose_tlam.data.pictures import plane
from compose_tlam.labels import PRIMITIVES, Label, LabelSet
from compose_tlam.stack import LabelStack, Layer

__all__ = ["FACTS", "read_folder", "read_scale", "write_folder"]

FACTS = "labels.json"
_SHORT, _BYTE = 65_535, 255
_NOTHING = 0.1
"""Vectors shorter than this are none."""


def read_folder(folder: Path, labels: LabelSet) -> LabelStack:
    """The labels in a folder.

    Raises:
        SceneError: There are none; a picture has another name than a label; a file is damaged or
            holds values that its label cannot have; maps differ in size. Each names the file.
    """
    files = _files(folder, labels)
    layers: dict[str, Layer] = {}
    first: tuple[Path, torch.Size] | None = None
    for label in labels:
        if label.name not in files:
            continue
        path = files[label.name]
        value = _read(path, label)
        mask = folder / f"{label.name}.valid.png"
        valid = torch.ones(value.shape[-2:], dtype=torch.bool)
        if mask.exists():
            valid = plane(mask, ("1", "L", "I;16")) > 0
        for found, where in ((value.shape[-2:], path), (valid.shape, mask)):
            first = first or (where, found)
            if found != first[1]:
                raise SceneError(
                    "label maps differ in size",
                    got=f"{where}: {found[1]} x {found[0]}",
                    expected=f"{first[1][1]} x {first[1][0]}, as {first[0]}",
                )
        layer = Layer(value[None], valid[None])
        if label.kind == "vector":  # a direction of length 0 is none
            layer = Layer(layer.value, layer.valid & (layer.value.norm(dim=1) > _NOTHING))
        layers[label.name] = check_layer(label, layer, f"the file {path}")
    if not layers:
        raise SceneError(
            "there are no labels in this folder",
            got=str(folder),
            expected=", ".join(f"{name}.png" for name in labels.names),
        )
    return LabelStack(labels, layers)


def _files(folder: Path, labels: LabelSet) -> dict[str, Path]:
    known = set(labels.names)
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() != ".png" or path.name.startswith("."):
            continue
        name = path.name.removesuffix(".png").removesuffix(".valid")
        if name in PRIMITIVES.names and name not in known:
            continue  # this model does not see it
        if name not in known:
            raise SceneError(
                f"the file {path} is named after no label",
                got=repr(name),
                expected=", ".join(labels.names),
                remedy="rename it, or keep other pictures elsewhere",
            )
        if not path.name.endswith(".valid.png"):
            found[name] = path
    return found


def _read(path: Path, label: Label) -> Tensor:
    if label.discrete:
        return plane(path, ("L", "P", "I;16", "I"))
    if label.channels == 1:
        raw = plane(path, ("L", "I;16", "I"))
        top = _BYTE if int(raw.max()) <= _BYTE and _is_bytes(path) else _SHORT
        share = raw.float()[None] / top
        return label.low + (label.high - label.low) * share
    raw = plane(path, ("RGB",))[..., : label.channels].permute(2, 0, 1).float()
    if label.kind == "vector":
        vector = (raw - 128) / 127
        length = vector.norm(dim=0)
        near = (length - 1).abs() <= label.tolerance  # 8 bits round; anything more is an error
        return torch.where(near, F.normalize(vector, dim=0), vector)
    middle, reach = (label.low + label.high) / 2, (label.high - label.low) / 2
    return middle + reach * ((raw - 128) / 127).clamp(-1, 1)


def _is_bytes(path: Path) -> bool:
    with Image.open(path) as picture:
        return picture.mode == "L"


def write_folder(
    folder: Path, stack: LabelStack, scale: tuple[float, float] | None = None
) -> list[Path]:
    """Write the labels of one picture, each file at once; labels that it lacks are removed.

    Args:
        folder: Is made if it is not there.
        stack: A batch of one.
        scale: Inverse depth in 1 / metre of depth 0 and 1, if it is known.

    Returns:
        The files.
    """
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []

    def put(name: str, values: Any) -> None:
        stream = io.BytesIO()
        Image.fromarray(values).save(stream, "PNG")
        write_atomic(folder / name, stream.getvalue())
        written.append(folder / name)

    for name, layer in stack.layers.items():
        label = stack.labels.named(name)
        put(f"{name}.png", _levels(label, layer))
        if not bool(layer.valid.all()):
            put(f"{name}.valid.png", (layer.valid[0].byte() * _BYTE).cpu().numpy())
    if scale is not None:
        path = folder / FACTS
        write_atomic(path, (json.dumps({"inverse_depth": list(scale)}) + "\n").encode())
        written.append(path)
    # What was there of other labels would be taken for that of these.
    old = [
        folder / f"{name}{end}" for name in stack.labels.names for end in (".png", ".valid.png")
    ]
    for path in (*old, folder / FACTS):
        if path not in written:
            path.unlink(missing_ok=True)
    return written


def _levels(label: Label, layer: Layer) -> Any:
    value = layer.value[0].detach().cpu()
    if label.discrete:
        kind = np.uint8 if label.count <= _BYTE else np.uint16
        return value.numpy().astype(kind)
    valid = layer.valid[:1].cpu()
    if label.kind == "vector":
        return _planes(torch.where(valid, value * 127 + 128, torch.full_like(value, 128)))
    if label.channels > 1:
        middle, reach = (label.low + label.high) / 2, (label.high - label.low) / 2
        share = ((value - middle) / reach).clamp(-1, 1).nan_to_num(0)
        return _planes(torch.where(valid, share, torch.zeros_like(share)) * 127 + 128)
    share = ((value - label.low) / (label.high - label.low)).clamp(0, 1)
    share = torch.where(valid, share, torch.zeros_like(share)).nan_to_num(0)
    return (share[0] * _SHORT).round().numpy().astype(np.uint16)


def _planes(values: Tensor) -> Any:
    """Up to three channels (C, H, W) as (H, W, 3) bytes."""
    full = F.pad(values.round().clamp(0, _BYTE), (0, 0, 0, 0, 0, 3 - len(values)))
    return full.permute(1, 2, 0).numpy().astype(np.uint8)


def read_scale(folder: Path) -> tuple[float, float] | None:
    """Inverse depth in 1 / metre of depth 0 and 1, if the folder tells.

    Raises:
        SceneError: The file is damaged, or its numbers are no range.
    """
    path = folder / FACTS
    if not path.exists():
        return None
    try:
        said: Any = json.loads(path.read_text("utf-8"))
        far, near = (float(x) for x in cast("list[float]", said["inverse_depth"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SceneError(f"{path} cannot be read", got=error) from error
    if not 0 <= far < near < float("inf"):
        raise SceneError(
            f"{path} holds no range of inverse depths",
            got=f"{far} to {near}",
            expected="0 <= far < near, in 1 / metre",
        )
    return far, near
