"""A folder with a base model and its coordinators: `dde.json` and safetensors beside it.

    dde.json                    what it is for, sizes, samplers
    base.safetensors            the base model
    coordinators/NAME.safetensors

Strict: names, shapes and settings must fit exactly; nothing in a folder is ever executed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from compose_core.errors import ComposeError, UsageError, WeightsError
from compose_dde.description import FORMAT, build, describe
from compose_dde.expansion import Expansion, Subject, Walk

__all__ = ["INDEX", "Expansion", "Subject", "Walk", "load_expansion", "save_expansion"]

INDEX = "dde.json"


def save_expansion(folder: str | Path, made: Expansion) -> Path:
    """Write a folder; files that are there are replaced, others are left alone.

    Everything is written beside what is there first, then takes its place, the index last. A
    folder whose writing was stopped is the old one, or has no index and cannot be loaded.

    Raises:
        UsageError: A network or a fact is of a kind that no file can hold.
        ComposeError: The disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        index = (json.dumps(describe(made), indent=2, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise UsageError(
            "these numbers cannot be saved", got=error, expected="what JSON can hold"
        ) from error
    modules: dict[str, nn.Module] = {"base": made.base.backbone}
    modules |= {f"coordinators/{name}": one for name, one in made.coordinators.items()}
    waiting: dict[Path, Path] = {}

    def beside(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting[path] = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        return waiting[path]

    try:
        for name, module in modules.items():
            _save(beside(folder / f"{name}.safetensors"), module)
        _flush(beside(folder / INDEX), index)
        (folder / INDEX).unlink(missing_ok=True)
        for path, temporary in waiting.items():
            temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise ComposeError(
            "a folder of networks cannot be written",
            got=f"{folder}: {error}",
            remedy="free some space, or choose another folder",
        ) from error
    finally:
        for temporary in waiting.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    return folder


def load_expansion(folder: str | Path, device: torch.device | str = "cpu") -> Expansion:
    """Read a folder.

    Raises:
        WeightsError: A file is missing or damaged, or does not fit what the index says.
    """
    folder = Path(folder)
    made = _read(folder / INDEX)
    load_strictly(made.base.backbone, folder / "base.safetensors")
    for name, one in made.coordinators.items():
        load_strictly(one, folder / "coordinators" / f"{name}.safetensors")
    for module in (made.base, *made.coordinators.values()):
        module.eval().requires_grad_(False)
    return made.to(device)


def load_strictly(module: nn.Module, path: Path) -> None:
    """Weights from a safetensors file, each name and shape accounted for.

    Raises:
        WeightsError: It is missing or damaged, or does not fit.
    """
    try:
        found = load_file(path)
    except Exception as error:  # the library raises nearly anything on damaged files
        raise WeightsError(
            "weights cannot be read", got=f"{path}: {error}", expected="a whole safetensors file"
        ) from error
    fill(module, found, str(path))


def fill(module: nn.Module, found: Mapping[str, Tensor], source: str) -> None:
    """Put weights into a module; names and shapes must be exactly its own.

    Raises:
        WeightsError: They are not, or a weight is not finite.
    """
    wanted = module.state_dict()
    missing = sorted(wanted.keys() - found.keys())
    more = sorted(found.keys() - wanted.keys())
    odd = [k for k in wanted.keys() & found.keys() if wanted[k].shape != found[k].shape]
    if missing or more or odd:
        lists = (("missing", missing), ("left over", more), ("of another shape", sorted(odd)))
        raise WeightsError(
            "these weights are not those of the network",
            got="; ".join(f"{len(x)} {how}: {', '.join(x[:4])}" for how, x in lists if x),
            expected=f"exactly the {len(wanted)} tensors of {type(module).__name__}",
            remedy=f"check {source}",
        )
    bad = [k for k, v in found.items() if not bool(torch.isfinite(v).all())]
    if bad:
        raise WeightsError(
            "weights are damaged", got=f"{source}: NaN or infinity in {', '.join(bad[:4])}"
        )
    module.load_state_dict(dict(found))


def _read(path: Path) -> Expansion:
    """What an index describes, before training.

    Raises:
        WeightsError: It is missing or damaged, or describes what cannot be.
    """
    expected: object = f"a whole {path.name} of format {FORMAT}"
    try:
        return build(json.loads(path.read_text("utf-8"), parse_constant=_no_number))
    except ComposeError as error:
        said, expected, cause = f"{error.what}, {error.got}", error.expected or expected, error
    except Exception as error:  # networks of impossible sizes raise nearly anything
        lines = str(error).splitlines() or [""]
        said, cause = f"{type(error).__name__}: {lines[0]}", error
    raise WeightsError(
        "this is no folder of a base model and its coordinators",
        got=f"{path}: {said}",
        expected=expected,
        remedy="see `compose zoo list` for those that come with this project",
    ) from cause


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _save(path: Path, module: nn.Module) -> None:
    tensors = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    save_file(tensors, path, metadata={"format": "pt"})
    _flush(path)


def _flush(path: Path, data: bytes = b"") -> None:
    """Append to a file, and wait until all of it is on the disk."""
    with path.open("ab") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
