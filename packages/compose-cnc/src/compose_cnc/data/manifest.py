"""What a data set of triplets is made of: one JSON file whose hashes stand for every other file.

`manifest.json` has the settings, the tools, the source, and for each item the sha256 of its
`item.json`, which has the sha256 of the item's other files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compose_cnc.data.store import fingerprint, place
from compose_core.errors import ComposeError, UsageError

__all__ = ["FORMAT", "SHARDS", "check_settings", "complete", "read_manifest"]

FORMAT = "compose-cnc triplets 1"
SHARDS = "shards"
"""Folder in which each shard notes what it left out."""


def check_settings(out: Path, described: dict[str, Any]) -> None:
    """Remember what a folder is made with, or check that it is the same as before.

    Raises:
        UsageError: It was begun with other settings, or is something else.
    """
    file = out / "settings.json"
    if not file.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(
                "the folder holds something else", got=out, remedy="choose a new or an empty one"
            )
        place(file, described)
        return
    before = _json(file)
    now = json.loads(json.dumps(described))
    differ = [
        f"{group}.{name} = {before.get(group, {}).get(name)!r}, not {now[group].get(name)!r}"
        for group in now
        for name in sorted({*now[group], *before.get(group, {})})
        if now[group].get(name) != before.get(group, {}).get(name)
    ]
    if differ:
        raise UsageError(
            "the triplets there were made in another way",
            got=f"{out}: {'; '.join(differ)}",
            expected="the settings, tools and source that the folder was begun with",
            remedy="use them, or choose another folder",
        )


def complete(out: Path, described: dict[str, Any], ids: Sequence[str], shards: int) -> Path | None:
    """Write the manifest if every shard is done.

    Raises:
        ComposeError: A shard says that it is done, and an item of it is not there.
    """
    notes = [out / SHARDS / f"{i}-of-{shards}.json" for i in range(1, shards + 1)]
    if not all(note.is_file() for note in notes):
        return None
    said = [_json(note) for note in notes]
    left_out = {k: v for one in said for k, v in one["left_out"].items()}
    unreadable = {k: v for one in said for k, v in one["unreadable"].items()}
    items = {i: fingerprint(out, i) for i in ids if i not in left_out and i not in unreadable}
    if missing := [name for name, digest in items.items() if digest is None]:
        raise ComposeError(
            "triplets of a finished shard are missing or damaged",
            got=f"{len(missing)}: {missing[:3]}",
            remedy="run every shard again: it makes what is missing",
        )
    path = out / "manifest.json"
    body = {
        "format": FORMAT,
        **described,
        "items": items,
        "left_out": left_out,
        "unreadable": unreadable,
    }
    place(path, body)
    return path


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished data set.

    Raises:
        UsageError: There is none, or it is of another format.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        begun = (folder / "settings.json").is_file()
        raise UsageError(
            "the triplets are not finished" if begun else "there are no triplets",
            got=f"no {path}",
            remedy="run `compose cnc triplets`" + (" again, every shard" if begun else ""),
        )
    found = _json(path)
    if found.get("format") != FORMAT or not isinstance(found.get("items"), dict):
        raise UsageError(
            "the manifest is of another format", got=found.get("format"), expected=FORMAT
        )
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError("a file of the data set is damaged", got=f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise UsageError("a file of the data set is damaged", got=path, expected="an object")
    return found
