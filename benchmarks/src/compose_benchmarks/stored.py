"""How records are kept: JSON that is checked as it is read, and written in one step."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from compose_core.errors import ComposeError
from compose_core.run.files import write_atomic

__all__ = ["LARGEST", "read", "write"]

LARGEST = 64 * 2**20
"""Largest record that is read, in bytes."""

_NUMBERS = re.compile(r"\[\s+([-+\d.,e\s]+?)\s+\]")
_Kept = TypeVar("_Kept", bound=BaseModel)


def read(kind: type[_Kept], path: Path, *, what: str, version: int, again: str) -> _Kept:
    """Read a record.

    Args:
        kind: What it must be.
        path: Where it is.
        what: What messages call it, such as "a benchmark".
        version: Of its schema.
        again: The command that makes it.

    Raises:
        ComposeError: The file cannot be read or is no such record; the message names file and key.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ComposeError("the file is too large for a record", got=path)
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ComposeError(
            "a result cannot be read", got=f"{path}: {error.strerror or error}"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ComposeError(
            f"a result is no record of {what}",
            got=f"{path}: {where}: {first['msg']}",
            expected=f"schema version {version}",
            remedy=f"remove it, or measure again with `{again}`",
        ) from None


def write(record: BaseModel, path: Path) -> None:
    """Write a record; lists of plain numbers go in one line each, so that people can read it.

    Raises:
        ComposeError: The disk is full or the folder cannot be written.
    """
    text = json.dumps(json.loads(record.model_dump_json()), indent=1, ensure_ascii=False)
    text = _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    write_atomic(path, (text + "\n").encode())
