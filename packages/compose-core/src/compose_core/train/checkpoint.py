"""Checkpoints that are whole or absent: safetensors and JSON, never pickle.

A checkpoint is the folder ``step-00000100`` with one safetensors file per part and a
``state.json`` that lists size and sha256 of each. It is written under another name, flushed to the
disk, and renamed: after a crash at any moment a reader finds the old checkpoint or the new one.
"""

import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]
    save_file,  # pyright: ignore[reportUnknownVariableType]
)
from torch import Tensor

from compose_core.errors import ComposeError, WeightsError

_NAME = re.compile(r"step-(\d{8,})")
_STATE = "state.json"
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError)


@dataclass(frozen=True)
class Checkpoint:
    """One moment of a run.

    Attributes:
        step: optimiser steps done.
        parts: tensors by part (``model``, ``ema``, ``optimizer``, ``rng``) and name.
        facts: whatever else continues the run, as JSON values.
    """

    step: int
    parts: dict[str, dict[str, Tensor]]
    facts: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint and drop all but the newest ``keep``; only one process may call this.

    Raises:
        ComposeError: the disk is full or cannot be written; older checkpoints are untouched.
    """
    final = folder / f"step-{checkpoint.step:08d}"
    draft = folder / f".draft-{final.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_drafts(folder)
        _write(draft, checkpoint)
        if final.exists():  # damaged, or it would not be written again
            final.rename(folder / f".draft-old-{final.name}")
        draft.rename(final)
        _flush(folder)
        for _, old in list(_found(folder))[keep:]:
            old.rename(folder / f".draft-old-{old.name}")
        _clear_drafts(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise ComposeError(
            "A checkpoint could not be written.",
            got=f"{final}: {error}",
            remedy="free space on the disk, then resume: earlier checkpoints are intact",
        ) from error
    return final


def exists(folder: Path) -> bool:
    """Whether ``folder`` holds any checkpoint, whole or damaged."""
    return any(True for _ in _found(folder))


def steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in ``folder``, whole or damaged, oldest first."""
    return sorted(step for step, _ in _found(folder))


def load(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of one step.

    Raises:
        WeightsError: it is not there, or damaged.
    """
    path = dict(_found(folder)).get(step)
    if path is None:
        raise WeightsError(
            f"There is no checkpoint of step {step} in {folder}.",
            got=", ".join(map(str, steps(folder))) or "none at all",
            remedy="train with a larger `keep`",
        )
    try:
        return _read(path)
    except _DAMAGE as error:
        raise WeightsError("A checkpoint is damaged.", got=f"{path}: {error}") from error


def load_newest(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint, or ``None`` when there has never been one.

    Each damaged one is passed over with a warning.

    Raises:
        WeightsError: there are checkpoints, and all are damaged.
    """
    damaged: list[str] = []
    for _, path in _found(folder):
        try:
            return _read(path)
        except _DAMAGE as error:
            damaged.append(f"{path.name}: {error}")
            warnings.warn(
                f"checkpoint {path} is damaged ({error}); trying the one before", stacklevel=2
            )
    if damaged:
        raise WeightsError(
            f"Every checkpoint in {folder} is damaged.",
            got="; ".join(damaged),
            remedy="remove them or choose another folder to begin again",
        )
    return None


def _found(folder: Path) -> Iterator[tuple[int, Path]]:
    """Checkpoints, newest first."""
    if not folder.is_dir():
        return
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    steps = [(int(match[1]), path) for match, path in matches if match]
    yield from sorted(steps, reverse=True)


def _write(draft: Path, checkpoint: Checkpoint) -> None:
    draft.mkdir()
    files: dict[str, dict[str, Any]] = {}
    for part, tensors in checkpoint.parts.items():
        path = draft / f"{part}.safetensors"
        save_file(tensors, path)
        _flush(path)
        files[path.name] = {"size": path.stat().st_size, "sha256": _digest(path)}
    body = {"version": 1, "step": checkpoint.step, "files": files, "facts": checkpoint.facts}
    text = json.dumps(body, sort_keys=True)
    sealed = {"sha256": sha256(text.encode()).hexdigest(), "body": body}
    with (draft / _STATE).open("w", encoding="utf-8") as file:
        json.dump(sealed, file, sort_keys=True, indent=1)
        file.flush()
        os.fsync(file.fileno())
    _flush(draft)


def _read(path: Path) -> Checkpoint:
    sealed = json.loads((path / _STATE).read_text(encoding="utf-8"))
    body = sealed["body"]
    if sha256(json.dumps(body, sort_keys=True).encode()).hexdigest() != sealed["sha256"]:
        raise ValueError(f"{_STATE} was changed")
    parts: dict[str, dict[str, Tensor]] = {}
    for name, facts in body["files"].items():
        file = path / name
        if file.stat().st_size != facts["size"] or _digest(file) != facts["sha256"]:
            raise ValueError(f"{name} was changed")
        parts[name.removesuffix(".safetensors")] = load_file(file)
    return Checkpoint(step=body["step"], parts=parts, facts=body["facts"])


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    """Make sure that a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _clear_drafts(folder: Path) -> None:
    for path in folder.glob(".draft-*"):
        shutil.rmtree(path)
