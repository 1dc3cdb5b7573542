"""Answers of language models, kept so that the same question is asked once."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from compose_core.zoo.home import home, place_text

MAX_ENTRY = 2**20
"""Largest file that is read, in bytes."""

Key = Mapping[str, Any]
"""Everything that an answer depends on, as JSON; never a secret."""


def default_folder() -> Path:
    """Where answers are kept unless something else is asked for."""
    return home() / "layouts"


def path_of(folder: Path, key: Key) -> Path:
    """The file of an answer."""
    return folder / f"{hashlib.sha256(_text(key).encode()).hexdigest()}.json"


def look_up(folder: Path, key: Key) -> str | None:
    """The answer to a question asked before; None when there is none or it cannot be read."""
    path = path_of(folder, key)
    try:
        if path.stat().st_size > MAX_ENTRY:
            return None
        entry: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    found = cast("dict[str, Any]", entry)
    answer = found.get("answer")
    return (
        answer if found.get("key") == json.loads(_text(key)) and isinstance(answer, str) else None
    )


def keep(folder: Path, key: Key, answer: str) -> None:
    """Keep an answer; where nothing can be written, nothing is kept."""
    text = json.dumps({"key": dict(key), "answer": answer}, indent=1)
    with contextlib.suppress(OSError):
        place_text(path_of(folder, key), text, durable=False)


def _text(key: Key) -> str:
    return json.dumps(key, sort_keys=True, separators=(",", ":"))
