"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from compose_core.errors import ComposeError

_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``path`` in one step: readers see the old file or the new one, never a part.

    The data goes to a temporary file in the same folder, which then takes the name. Whatever stops
    the writing, Ctrl-C included, removes the temporary file.

    Raises:
        ComposeError: the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        full = error.errno in _FULL
        raise ComposeError(
            "the disk is full" if full else "a result cannot be written",
            got=f"{path}: {error.strerror or error}",
            remedy="free some space, or choose another folder with --out"
            if full
            else "choose another folder with --out",
        ) from error


def check_writable(folder: Path) -> None:
    """Fail before the work when ``folder`` could not receive its result.

    Raises:
        ComposeError: the folder, or the nearest existing one above it, is not a writable folder.
    """
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ComposeError(
            "the results cannot be written there",
            got=f"{existing} is {'not writable' if existing.is_dir() else 'not a folder'}",
            remedy="choose another folder with --out",
        )
