"""sha256 of files, remembered as long as the file does not change."""

import json
import os
from hashlib import file_digest, sha256
from pathlib import Path

from compose_core.zoo.home import home, place_text


def digest(path: Path) -> str:
    """sha256 of a file's bytes, lower-case hex, read now."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def remembered_digest(path: Path) -> str:
    """sha256 of a file, from memory if size, times, and inode are those of the last reading.

    The time of the last change of the inode is compared as well: unlike the modification time it
    cannot be set back.
    """
    stamp = _stamp(path)
    note = home() / "verified" / f"{sha256(os.fsencode(path.resolve())).hexdigest()}.json"
    try:
        known = json.loads(note.read_text("utf-8"))
        if known["stamp"] == stamp and isinstance(known["sha256"], str):
            return known["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never read before, or the note is damaged
    found = digest(path)
    if _stamp(path) == stamp:
        try:
            place_text(note, json.dumps({"stamp": stamp, "sha256": found}), durable=False)
        except OSError:
            pass  # a home that cannot be written only costs time
    return found


COUNTED = frozenset({".safetensors", ".json", ".txt", ".model"})
"""Kinds of files that decide what a model computes: weights, settings and vocabularies."""


def hash_folder(folder: Path) -> str:
    """sha256 over the names and sha256 of the weights, settings and vocabularies in a folder."""
    total = sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in COUNTED and path.is_file():
            line = f"{path.relative_to(folder).as_posix()} {remembered_digest(path)}\n"
            total.update(line.encode())
    return total.hexdigest()


def _stamp(path: Path) -> list[int]:
    info = path.stat()
    return [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]
