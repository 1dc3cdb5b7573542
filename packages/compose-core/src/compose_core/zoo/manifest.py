"""What a checkpoint is: its files with their hashes, its licence, its making and its scores.

A manifest is a TOML file. A hash that nobody has computed is left empty, which makes the file
*unpinned*; `compose zoo pull` then records what it finds.
"""

import re
import tomllib
from collections import Counter
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from compose_core.errors import WeightsError
from compose_core.zoo.digest import digest

SUFFIXES = frozenset({".safetensors", ".json", ".txt", ".model", ".md"})
"""Kinds of files that a checkpoint may hold: tensors and text, nothing that can run."""

_LARGEST = 1 << 20
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_ID = r"[a-z0-9]+(-[a-z0-9]+)*"

Natural = Annotated[int, Field(ge=0, lt=1 << 63)]
Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    """A TOML table: unknown keys are errors, values are not converted, nothing changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class File(_Table):
    """One file of a checkpoint.

    Attributes:
        name: relative path with forward slashes.
        size: bytes; may be left out while the file is unpinned.
        sha256: hash of the whole file, lower-case hex; "" while nobody has computed it.
    """

    name: str
    size: Natural | None = None
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""

    @field_validator("name")
    @classmethod
    def _name_stays_inside(cls, name: str) -> str:
        fault = name_fault(name)
        if fault:
            raise ValueError(fault)
        return name

    @model_validator(mode="after")
    def _pinned_means_both(self) -> Self:
        if self.sha256 and self.size is None:
            raise ValueError("a file with a sha256 needs its size")
        return self

    @property
    def pinned(self) -> bool:
        """Whether the hash is known."""
        return bool(self.sha256)


class Source(_Table):
    """Where the files were published: a Hub repository at one commit, never at a branch."""

    repo: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=200
        ),
    ]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Training(_Table):
    """What it was trained on: the world and its ranges, and the seed."""

    data: Text
    seed: Natural


class Budget(_Table):
    """What the training cost: the machine, optimiser steps and seconds."""

    trained_on: Text
    steps: Natural
    seconds: Annotated[float, Field(ge=0)]


class Score(_Table):
    """A measured number; a repetition by the same protocol lies within ``tolerance``."""

    name: Text
    value: float
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    protocol: str = ""


class Manifest(_Table):
    """Everything that is known about one checkpoint."""

    version: Literal[1] = 1
    id: Annotated[str, Field(pattern=rf"^{_ID}$", max_length=64)]
    summary: Text
    licence: Text
    base_licence: str = ""
    parameters: Natural | None = None
    intended_use: str = ""
    recipe: str = ""
    source: Source | None = None
    training: Training | None = None
    budget: Budget | None = None
    files: Annotated[tuple[File, ...], Field(min_length=1, strict=False)]
    scores: Annotated[tuple[Score, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _files_do_not_collide(self) -> Self:
        # Compared without case: some disks cannot hold both names.
        names = Counter(file.name.casefold() for file in self.files)
        double = [name for name, count in names.items() if count > 1]
        inside = [n for n in names if any(str(p) in names for p in PurePosixPath(n).parents)]
        if double or inside:
            raise ValueError(f"two files need one place: {(double or inside)[0]}")
        return self

    @property
    def pinned(self) -> bool:
        """Whether every file has a known hash."""
        return all(file.pinned for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(file.size or 0 for file in self.files)


def parse(text: str, origin: str = "manifest") -> Manifest:
    """Read a manifest from TOML; ``origin`` names it in errors.

    Raises:
        WeightsError: not TOML, or not a manifest; the message names the key.
    """
    try:
        return Manifest.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise _explained(error, origin) from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{origin} is not valid TOML.", got=error) from None


def load(path: Path) -> Manifest:
    """Read the manifest of one checkpoint, which is named after it.

    Raises:
        WeightsError: it cannot be read, is malformed, or its name and id differ.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise WeightsError(f"{path} is too large for a manifest.", expected="at most 1 MiB")
        manifest = parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"The manifest {path} cannot be read.", got=error) from None
    if manifest.id != path.stem:
        raise WeightsError(f"{path} names another id.", got=manifest.id, expected=path.stem)
    return manifest


def describe(folder: Path) -> tuple[File, ...]:
    """Name, size and sha256 of every file below ``folder``, in order; hidden ones are left out.

    Raises:
        WeightsError: the folder is empty or holds a kind of file that a checkpoint may not hold.
    """
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    names = {p.relative_to(folder).as_posix(): p for p in paths}
    shown = {n: p for n, p in names.items() if not any(s.startswith(".") for s in n.split("/"))}
    for name in shown:
        if fault := name_fault(name):
            raise WeightsError(f"{folder} cannot be described.", got=name, expected=fault)
    if not shown:
        raise WeightsError("There is nothing to describe.", got=folder, expected="a model folder")
    return tuple(
        File(name=name, size=path.stat().st_size, sha256=digest(path))
        for name, path in shown.items()
    )


def render(files: tuple[File, ...]) -> str:
    """The ``[[files]]`` tables of a manifest."""
    return "\n".join(
        f'[[files]]\nname = "{file.name}"\n'
        + (f"size = {file.size}\n" if file.size is not None else "")
        + f'sha256 = "{file.sha256}"\n'
        for file in files
    )


def pin(manifest: Path, folder: Path) -> Manifest:
    """Rewrite the ``[[files]]`` of a manifest file after what ``folder`` holds now.

    All else in the file stays as it is, comments included.

    Raises:
        WeightsError: the folder cannot be described, or the result is not a manifest.
    """
    kept: list[str] = []
    in_files = False
    for line in manifest.read_text("utf-8").splitlines():
        if line.startswith("["):
            in_files = line.strip() == "[[files]]"
        if not in_files:
            kept.append(line)
    text = "\n".join(kept).rstrip() + "\n\n" + render(describe(folder))
    made = parse(text, str(manifest))
    manifest.write_text(text, "utf-8")
    return made


def name_fault(name: str) -> str | None:
    """Why ``name`` may not be a file of a checkpoint, or ``None``.

    A name is taken only if it means the same file, inside the folder, on every system.
    """
    parts = name.split("/")
    if not name or len(name) > 200 or not name.isascii() or not name.isprintable():
        return "a file name is printable ASCII, at most 200 characters"
    if any(c in name for c in '\\:*?"<>|'):
        return 'a file name uses forward slashes and none of \\ : * ? " < > |'
    if any(part in ("", ".", "..") or part[-1] in ". " or part[0] == " " for part in parts):
        return "a file name is a relative path inside the folder"
    if any(_RESERVED.fullmatch(part) for part in parts):
        return "a file name is not the name of a device"
    if PurePosixPath(name).suffix not in SUFFIXES:
        return f"a checkpoint holds only {', '.join(sorted(SUFFIXES))} files"
    return None


def _explained(error: ValidationError, origin: str) -> WeightsError:
    faults = error.errors(include_url=False)
    # A misspelt key is two faults, one unknown and one missing: the unknown one explains both.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    where = ".".join(str(part) for part in first["loc"]) or "the manifest as a whole"
    remedy = None
    if first["type"] == "extra_forbidden":
        near = get_close_matches(str(first["loc"][-1]), _KEYS, 1)
        remedy = f"did you mean `{near[0]}`?" if near else None
    got = repr(first["input"])
    return WeightsError(
        f"{origin}: `{where}` is wrong.",
        got=got if len(got) <= 100 else f"{got[:97]}...",
        expected=first["msg"],
        remedy=remedy,
    )


_KEYS = sorted(
    {
        key
        for table in (Manifest, File, Source, Training, Budget, Score)
        for key in table.model_fields
    }
)
