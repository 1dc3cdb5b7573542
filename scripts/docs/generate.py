"""Write every generated page of the site, or say which of them are not what they should be.

Usage: ``python scripts/docs/generate.py [--check]``

The pages depend on what is in the repository alone: the scene's schema, methods, manifests, result
records, modules. Pictures are drawn by ``pictures.py``, which needs a model and minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import api_pages
import diagrams
import leaderboard_pages
import navigation
import paper_pages
import scene_page
import trial_pages
import zoo_pages
from workspace import DOCS, ROOT

PARTS = (
    diagrams,
    scene_page,
    zoo_pages,
    leaderboard_pages,
    trial_pages,
    paper_pages,
    api_pages,
)
OWNED = ("fragments", "api", "leaderboards", "zoo")
"""Folders in which every page is generated: what is not generated any more is removed."""
KEPT = ("samples",)


def pages() -> dict[str, bytes]:
    """Every generated file, by its path below the repository."""
    found: dict[str, str | bytes] = {}
    for part in PARTS:
        found |= {f"docs/{path}": text for path, text in part.pages().items()}
    found["mkdocs.yml"] = navigation.with_nav((ROOT / "mkdocs.yml").read_text("utf-8"))
    return {k: v.encode() if isinstance(v, str) else v for k, v in found.items()}


def differences(wanted: Mapping[str, bytes]) -> list[str]:
    """What is missing, different, or there without a reason; one sentence each."""
    found: list[str] = []
    for path, content in wanted.items():
        file = ROOT / path
        if not file.is_file():
            found.append(f"{path} is missing")
        elif file.read_bytes() != content:
            found.append(f"{path} is not what the records give")
    return found + [f"{path.relative_to(ROOT)} has no record" for path in _strays(wanted)]


def write(wanted: Mapping[str, bytes]) -> None:
    """Write what differs and remove what is not generated any more."""
    for path, content in wanted.items():
        file = ROOT / path
        if not file.is_file() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            print(path)
    for path in _strays(wanted):
        path.unlink()
        print(f"removed {path.relative_to(ROOT)}")


def _strays(wanted: Mapping[str, bytes]) -> Iterable[Path]:
    for owned in OWNED:
        for path in sorted((DOCS / owned).rglob("*")):
            kept = any(part in KEPT for part in path.relative_to(DOCS / owned).parts)
            if path.is_file() and not kept and path.relative_to(ROOT).as_posix() not in wanted:
                yield path


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` only compare."""
    wanted = pages()
    if "--check" not in arguments:
        write(wanted)
        return 0
    found = differences(wanted)
    for line in found:
        print(line)
    if found:
        print("run `python scripts/docs/generate.py` and commit what it writes")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
