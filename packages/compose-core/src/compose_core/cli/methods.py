"""``compose methods``: which keys of a scene each method understands."""

from __future__ import annotations

import argparse
import json

from compose_core.cli import note, say
from compose_core.errors import ComposeError

_SIGNS = {"needs": "needs", "uses": "yes"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 if a method is announced and cannot be used."""
    from compose_core.method import capabilities, find, methods

    found, broken = capabilities(), 0
    for line in [json.dumps(found, indent=2)] if args.json else [*table(found), ""]:
        say(line)
    for name in methods():
        try:
            text = f"{name}: {find(name).summary}"
            if not args.json:
                say(text)
        except ComposeError as error:
            broken += 1
            note(f"{name}: {error}")
    return 1 if broken else 0


def table(found: dict[str, dict[str, str]]) -> list[str]:
    """Lines: a row for each key, a column for each method; a dot where a key is not used."""
    keys = sorted({key for row in found.values() for key in row})
    left = max(map(len, ["key", *keys]))
    widths = {name: max(len(name), 5) for name in found}
    head = "  ".join(["key".ljust(left), *(name.ljust(widths[name]) for name in found)])
    rows = [
        "  ".join(
            [
                key.ljust(left),
                *(_SIGNS.get(row.get(key, ""), "·").ljust(widths[m]) for m, row in found.items()),
            ]
        )
        for key in keys
    ]
    return [line.rstrip() for line in (head, *rows)]
