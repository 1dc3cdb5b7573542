"""One triplet on disk: a folder of pictures, embeddings and words, there whole or not at all.

    items/ab/ID/picture.png        I_s, 8 bit
    items/ab/ID/mask.png           M, 0 or 255
    items/ab/ID/foreground.png     I_f
    items/ab/ID/background.png     I_b
    items/ab/ID/depth.png          of I_s, 16 bit, near is bright
    items/ab/ID/depth_fg.png       of I_f
    items/ab/ID/depth_bg.png       of I_b
    items/ab/ID/embeddings.safetensors   "fg" of I_s and "bg" of I_b, (D,) float32
    items/ab/ID/item.json          captions, and sha256 of all of the above

`ab` are the first digits of the sha256 of the id, so that no folder grows beyond reason.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load, save
from torch import Tensor

from compose_cnc.data.triplet import Triplets
from compose_core.errors import ComposeError, WeightsError

__all__ = [
    "COLOURS",
    "DEPTHS",
    "fingerprint",
    "item_folder",
    "load_item",
    "place",
    "write_item",
]

COLOURS = ("picture", "foreground", "background")
DEPTHS = ("depth", "depth_fg", "depth_bg")
_EMBEDDINGS = "embeddings.safetensors"
_FACTS = "item.json"
_FILES = (*(f"{name}.png" for name in (*COLOURS, "mask", *DEPTHS)), _EMBEDDINGS)

_DAMAGE = (OSError, ValueError, KeyError, TypeError)


def item_folder(root: Path, item_id: str) -> Path:
    """Where an item belongs. Ids that are no file names are made so, and stay apart."""
    digest = sha256(item_id.encode()).hexdigest()
    plain = re.sub(r"[^\w.-]", "_", item_id, flags=re.ASCII)
    safe = plain == item_id and len(item_id) <= 100 and not item_id.startswith(".")
    return (
        root
        / "items"
        / digest[:2]
        / (item_id if safe else f"{plain[:80].lstrip('.')}-{digest[:12]}")
    )


def write_item(
    root: Path, item_id: str, made: Triplets, row: int, facts: Mapping[str, Any]
) -> Path:
    """Write one row of a batch; an item that was there is replaced.

    Args:
        root: Of the data set.
        item_id: Its id.
        made: The batch.
        row: Which of it.
        facts: JSON values for `item.json`.

    Raises:
        ComposeError: The disk is full or the folder cannot be written.
    """
    final = item_folder(root, item_id)
    draft = final.with_name(f".{secrets.token_hex(6)}")
    try:
        draft.mkdir(parents=True)
        written: dict[str, str] = {}
        for name, data in _encoded(made, row).items():
            (draft / name).write_bytes(data)
            written[name] = sha256(data).hexdigest()
        text = json.dumps({"id": item_id, **facts, "files": written}, indent=1, sort_keys=True)
        (draft / _FACTS).write_text(text, "utf-8")
        if final.exists():
            shutil.rmtree(final)
        draft.rename(final)
    except OSError as error:
        raise ComposeError(
            "a triplet could not be written",
            got=f"{final}: {error.strerror or error}",
            remedy="free some space and run again: what is finished stays",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return final


def _encoded(made: Triplets, row: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name in COLOURS:
        colours = getattr(made, name)[row].permute(1, 2, 0)
        found[f"{name}.png"] = _png(_levels(colours, 255).astype(np.uint8))
    found["mask.png"] = _png(_levels(made.mask[row].float(), 255).astype(np.uint8))
    for name in DEPTHS:
        found[f"{name}.png"] = _png(_levels(getattr(made, name)[row], 65535).astype(np.uint16))
    embeddings = {"fg": made.embedding_fg[row], "bg": made.embedding_bg[row]}
    found[_EMBEDDINGS] = save({k: v.contiguous() for k, v in embeddings.items()})
    return found


def _levels(values: Tensor, white: int) -> np.ndarray:
    return np.rint(values.to(torch.float64).clamp(0, 1).numpy() * white)


def _png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def fingerprint(root: Path, item_id: str) -> str | None:
    """sha256 of `item.json` of an item that is whole; `None` where it is missing or damaged.

    Every file is read. As `item.json` holds the sha256 of all the others, its own stands for all.
    """
    folder = item_folder(root, item_id)
    try:
        text = (folder / _FACTS).read_bytes()
        _bytes(folder, json.loads(text), item_id)
    except _DAMAGE:
        return None
    return sha256(text).hexdigest()


def _bytes(folder: Path, facts: Any, item_id: str) -> dict[str, bytes]:
    if facts["id"] != item_id or set(facts["files"]) != set(_FILES):
        raise ValueError("item.json is that of another item")
    found = {name: (folder / name).read_bytes() for name in _FILES}
    for name, data in found.items():
        if sha256(data).hexdigest() != facts["files"][name]:
            raise ValueError(f"{name} was changed")
    return found


def load_item(root: Path, item_id: str, expected: str | None = None) -> dict[str, Any]:
    """Tensors and captions of an item, every file checked.

    Args:
        root: Of the data set.
        item_id: The item.
        expected: sha256 of its `item.json`; without, the item only has to agree with itself.

    Returns:
        Colours (3, H, W) and depths (1, H, W) and `mask` (1, H, W), float32 in [0, 1];
        `embedding_fg` and `embedding_bg` (D,); `caption` and `captions`.

    Raises:
        WeightsError: A file is missing or damaged.
    """
    folder = item_folder(root, item_id)
    try:
        text = (folder / _FACTS).read_bytes()
        if expected is not None and sha256(text).hexdigest() != expected:
            raise ValueError(f"{_FACTS} was changed")
        facts = json.loads(text)
        data = _bytes(folder, facts, item_id)
        found: dict[str, Any] = {name: _plane(data[f"{name}.png"]) for name in COLOURS}
        found |= {name: _plane(data[f"{name}.png"]) for name in ("mask", *DEPTHS)}
        embeddings = load(data[_EMBEDDINGS])
        found |= {f"embedding_{side}": embeddings[side] for side in ("fg", "bg")}
        found |= {"caption": facts["caption"], "captions": tuple(facts["captions"])}
    except _DAMAGE as error:
        raise _damaged(root, item_id, error) from error
    return found


def _plane(data: bytes) -> Tensor:
    values = np.array(Image.open(io.BytesIO(data), formats=("PNG",)))
    white = 65535.0 if values.dtype != np.uint8 else 255.0
    tensor = torch.from_numpy(values.astype(np.float32) / np.float32(white))
    return tensor[None] if tensor.dim() == 2 else tensor.permute(2, 0, 1).contiguous()


def _damaged(root: Path, item_id: str, error: Exception) -> WeightsError:
    return WeightsError(
        "a triplet is damaged",
        got=f"{item_folder(root, item_id)}: {error}",
        expected="the files that were written",
        remedy="run `compose cnc triplets` again, set as before: damaged ones are made anew",
    )


def place(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file in one step.

    Raises:
        ComposeError: The disk is full or the folder cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(value, indent=1, sort_keys=True) + os.linesep, "utf-8")
        draft.replace(path)
    except OSError as error:
        raise ComposeError("a file could not be written", got=f"{path}: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
