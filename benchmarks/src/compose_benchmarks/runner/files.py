"""One file per item: a PNG that carries its own scene, so that it can be checked and remade.

A file counts as finished only when it can be decoded to its last byte and is the picture of just
this item under just these settings. Everything else is made again.
"""

from __future__ import annotations

import io
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
from compose_core.run.record import CHUNK, Record, Settings, circumstances, parse_record, to_png

__all__ = ["finished", "path_of", "read", "settings", "write"]

_DIGITS = 5


def path_of(folder: Path, number: int) -> Path:
    """The file of an item."""
    return folder / "items" / f"{number:0{_DIGITS}d}.png"


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


def write(folder: Path, spec: Spec, item: Item, picture: Tensor) -> None:
    """Write the picture (3, H, W) uint8 of an item in one step, with all that it came from."""
    image = Image.fromarray(np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy()))
    write_atomic(path_of(folder, item.number), to_png(image, _record(spec, item)))


def read(folder: Path, spec: Spec, item: Item) -> Tensor:
    """The picture (3, H, W) uint8 of an item.

    Raises:
        SceneError: The file is missing, damaged, or of another item or run.
    """
    path = path_of(folder, item.number)
    data = read_bytes(path, f"the picture of item {item.number}")
    picture = _decode(data, path)
    text = picture.info.get(CHUNK)
    record = parse_record(text, str(path)) if isinstance(text, str) else None
    # Of the settings nothing is left out, not even `max_batch`: answers are the same however calls
    # are split, but kernels for other numbers of rows round otherwise, and a byte may differ.
    wanted = _record(spec, item)
    found = record and replace(record, scene=wanted.scene)
    same = record is not None and document(record.scene) == document(item.scene)
    if not same or found != wanted or picture.mode != "RGB" or picture.size != item.scene.canvas:
        raise SceneError(
            "the picture is of another item or run",
            got=str(path),
            expected=f"item {item.number} of {spec.suite} by {spec.method}",
            remedy="remove it; it is made again",
        )
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def finished(folder: Path, spec: Spec, item: Item) -> bool:
    """Whether the file of an item is there and whole."""
    try:
        read(folder, spec, item)
    except ComposeError:
        return False
    return True


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
