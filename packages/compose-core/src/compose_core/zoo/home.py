"""The user's own folder: fetched checkpoints, recorded hashes, what was verified."""

import os
import tempfile
from pathlib import Path


def home() -> Path:
    """``COMPOSE_HOME``, or ``compose`` in the user's cache folder; it may not exist yet."""
    chosen = os.environ.get("COMPOSE_HOME")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / "compose"


def place_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a small file so that readers see the old text or the new one, never a part.

    What is ``durable`` is on the disk on return; the rest may be lost in a power failure.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
