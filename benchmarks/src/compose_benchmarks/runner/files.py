"""One file per item: a PNG that carries its own scene, so that it can be checked and remade.

A file counts as finished only when it can be decoded to its last byte and is the picture of just
this item under just these settings. Everything else is made again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compose_benchmarks.items import Item, document
from compose_benchmarks.runner.spec import Spec
from compose_core.errors import ComposeError, SceneError
from compose_core.images import open_picture, read_bytes
from compose_core.run.files import write_atomic
from compose_core.run.record import (
    BESIDE,
    CHUNK,
    Record,
    Settings,
    circumstances,
    parse_record,
    to_png,
)

__all__ = ["beside_of", "finished", "path_of", "read", "read_beside", "settings", "write"]

_DIGITS = 5


def path_of(folder: Path, number: int) -> Path:
    """The file of an item."""
    return folder / "items" / f"{number:0{_DIGITS}d}.png"


def beside_of(folder: Path, number: int, which: int) -> Path:
    """The file of a picture beside that of an item, counted from 0."""
    return path_of(folder, number).with_suffix(f".{which}.png")


def settings(spec: Spec, item: Item) -> Settings:
    """How one item is run, in the words of `compose run`."""
    return Settings(
        method=spec.method,
        model=spec.model,
        seed=item.seed,
        steps=spec.steps,
        guidance=spec.guidance,
        device=spec.device,
        max_batch=spec.max_batch,
    )


def write(
    folder: Path,
    spec: Spec,
    item: Item,
    picture: Tensor,
    beside: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the picture (3, H, W) uint8 of an item in one step, with all that it came from.

    What stands beside it is written before, so that the picture is there only if all are.
    """
    record = _record(spec, item)
    for which, (name, other) in enumerate((beside or {}).items()):
        write_atomic(beside_of(folder, item.number, which), to_png(_image(other), record, name))
    write_atomic(path_of(folder, item.number), to_png(_image(picture), record))


def read(folder: Path, spec: Spec, item: Item) -> Tensor:
    """The picture (3, H, W) uint8 of an item.

    Raises:
        SceneError: The file is missing, damaged, or of another item or run.
    """
    return _read(path_of(folder, item.number), spec, item)[1]


def read_beside(folder: Path, spec: Spec, item: Item, count: int) -> dict[str, Tensor]:
    """The `count` pictures (3, H, W) uint8 beside that of an item, by name, in their order.

    Raises:
        SceneError: A file is missing, damaged, or of another item or run.
    """
    paths = [beside_of(folder, item.number, which) for which in range(count)]
    found = dict(_read(path, spec, item, beside=True) for path in paths)
    if len(found) < count:
        raise SceneError("two pictures beside one have the same name", got=str(paths[0].parent))
    return found


def finished(folder: Path, spec: Spec, item: Item, beside: int = 0) -> bool:
    """Whether the file of an item is there and whole, and those beside it."""
    try:
        read(folder, spec, item)
        read_beside(folder, spec, item, beside)
    except ComposeError:
        return False
    return True


def _image(picture: Tensor) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy()))


def _read(path: Path, spec: Spec, item: Item, *, beside: bool = False) -> tuple[str, Tensor]:
    """The name of a picture beside another, else "", and its pixels."""
    data = read_bytes(path, f"the picture of item {item.number}")
    picture = _decode(data, path)
    text, name = picture.info.get(CHUNK), picture.info.get(BESIDE)
    record = parse_record(text, str(path)) if isinstance(text, str) else None
    # Of the settings nothing is left out, not even `max_batch`: answers are the same however calls
    # are split, but kernels for other numbers of rows round otherwise, and a byte may differ.
    wanted = _record(spec, item)
    found = record and replace(record, scene=wanted.scene)
    same = record is not None and document(record.scene) == document(item.scene)
    same = same and (isinstance(name, str) == beside)
    if not same or found != wanted or picture.mode != "RGB" or picture.size != item.scene.canvas:
        raise SceneError(
            "the picture is of another item or run",
            got=str(path),
            expected=f"item {item.number} of {spec.suite} by {spec.method}",
            remedy="remove it; it is made again",
        )
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return str(json.loads(name)) if isinstance(name, str) else "", pixels


def _record(spec: Spec, item: Item) -> Record:
    return Record(
        scene=item.scene,
        settings=settings(spec, item),
        weights=spec.model_sha256,
        versions=circumstances(),
        threads=spec.threads,
    )


def _decode(data: bytes, path: Path) -> Image.Image:
    try:
        open_picture(data, str(path)).verify()  # the check sums of all chunks
        picture = Image.open(io.BytesIO(data), formats=("PNG",))
        picture.load()
    except ComposeError:
        raise
    except Exception as error:  # Pillow's parsers raise nearly anything on damaged input
        raise SceneError(
            "the picture is damaged",
            got=f"{path}: {error}",
            remedy="remove it; it is made again",
        ) from error
    return picture
