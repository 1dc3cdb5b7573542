"""Opening a checkpoint that somebody else wrote: tensors only, never code."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import torch as safetensors
from torch import Tensor

from compose_core.errors import WeightsError

__all__ = ["read_checkpoint"]

_INERT = ("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",)
"""Classes whose names old versions of Lightning write beside the weights. They are not imported:
an empty class takes their place."""


class _Nothing:
    """Stands where a checkpoint names a class of `_INERT`."""


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a `.ckpt` (a pickle opened with `weights_only`) or a `.safetensors`, by name.

    What the file is, its first bytes say, not its name. Files are mapped into memory where the
    format allows it, so that tensors are read when they are used.

    Raises:
        WeightsError: The file is missing, damaged, no checkpoint, or holds more than tensors.
    """
    path = Path(path)
    head = _head(path)
    try:
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
            found: Any = cast(Any, safetensors).load_file(path)
        elif head.startswith(b"PK\x03\x04") or head.startswith(b"\x80"):
            found = _load_pickle(path, mapped=head.startswith(b"PK"))
        else:
            raise _no_checkpoint(path, f"a file that begins with {head[:8]!r}")
    except pickle.UnpicklingError as error:
        raise _refused(path, error) from error
    except WeightsError:
        raise
    except Exception as error:  # both libraries raise nearly anything on damaged files
        raise WeightsError(
            "the checkpoint is damaged",
            got=f"{path}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            expected="a whole file",
            remedy="fetch it again and compare its size",
        ) from error
    return _tensors(found, path)


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():
            got = f"{path} is a folder" if path.is_dir() else f"{path} does not exist"
            raise WeightsError("there is no such checkpoint", got=got, expected="a file")
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise WeightsError("the checkpoint cannot be read", got=f"{path}: {error}") from error


def _load_pickle(path: Path, *, mapped: bool) -> object:
    inert: list[Any] = [(_Nothing, name) for name in _INERT]
    with warnings.catch_warnings(), torch.serialization.safe_globals(inert):
        warnings.simplefilter("ignore")  # remarks about the age of the format
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _refused(path: Path, error: pickle.UnpicklingError) -> WeightsError:
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if named is None:
        return _no_checkpoint(path, str(error).splitlines()[0])
    return WeightsError(
        "the checkpoint names code to be run, and is not opened",
        got=f"{named[1]} in {path}",
        expected="tensors in plain containers",
        remedy="where its origin is trusted, save its state_dict alone as safetensors",
    )


def _no_checkpoint(path: Path, got: str) -> WeightsError:
    return WeightsError(
        "this file is not a checkpoint",
        got=f"{path}: {got}",
        expected="a .ckpt written by torch.save, or a .safetensors",
    )


def _tensors(found: object, path: Path) -> dict[str, Tensor]:
    if not isinstance(found, Mapping):
        raise _no_checkpoint(path, f"it holds a {type(found).__name__}")
    entries = cast("Mapping[Any, Any]", found)
    inner = entries.get("state_dict")
    if isinstance(inner, Mapping):
        entries = cast("Mapping[Any, Any]", inner)
    odd = [
        str(key)
        for key, value in entries.items()
        if not (isinstance(key, str) and isinstance(value, Tensor))
    ]
    if odd or not entries:
        got = f"{len(odd)} entries that are no tensors: {odd[:3]}" if odd else "it is empty"
        raise _no_checkpoint(path, got)
    return dict(entries)
