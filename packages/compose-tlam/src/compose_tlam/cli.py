"""``compose tlam``: labels of scenes as files, pictures of labels, edits, looks inside."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_core.cli import note, say
from compose_core.errors import UsageError

if TYPE_CHECKING:
    from compose_tlam.stack import LabelStack

_ACTIONS = {
    "labels": "write the labels of a scene's proxies and files as a folder of pictures",
    "paint": "make a picture of a folder of labels",
    "edit": "put solids into a picture, or take something out, through its labels",
    "look": "write the concept tensor and the attention over labels as pictures",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in _ACTIONS.items():
        made = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
        add = made.add_argument
        if name == "labels":
            add("scene", metavar="SCENE", type=Path, help="a .toml or .json scene")
            add("--out", metavar="DIR", type=Path, required=True, help="folder for the labels")
            continue
        add("labels", metavar="LABELS", type=Path, help="folder of labels, or a scene")
        sparse = name == "edit"
        default = "tlam-tiny-sparse" if sparse else "tlam-tiny"
        add("--model", metavar="ID", default=default, help=f"default: {default}")
        add("--drop", metavar="NAME", action="append", default=[], help="leave a label out")
        add("--strength", metavar="NAME=W", action="append", default=[], help="1 is as trained")
        add("--out", metavar="PATH", type=Path, default=Path("."), help="folder, or a name.png")
        if sparse:
            add("--insert", metavar="PROXY", type=Path, help="a scene whose proxies come in")
            add("--remove", metavar="MASK", type=Path, help="a mask: what is white goes")
            text = "what stands there then: the labels around it (default), or none"
            add("--fill", choices=("around", "none"), default="around", help=text)
            add("--keep-labels", metavar="DIR", type=Path, help="also write the edited labels")


def run(args: argparse.Namespace) -> int:
    """Do what was asked and print what was written."""
    from compose_tlam import actions

    if args.action == "labels":
        for path in actions.write_labels(args.scene, args.out):
            say(str(path))
        return 0
    if args.action == "edit" and (args.insert is None) == (args.remove is None):
        raise UsageError(
            "an edit puts something in or takes something out",
            got="both" if args.insert else "neither",
            expected="--insert PROXY or --remove MASK",
        )
    given = (args.labels, getattr(args, "insert", None), getattr(args, "remove", None))
    actions.check_out(args.out, given)
    pipe, stack = actions.opened(args.model, args.labels, note)
    if args.action == "edit":
        stack = actions.edited(stack, args.labels, args.insert, args.remove, args.fill)
        if args.keep_labels is not None:
            _written(args.keep_labels, stack)
    options: dict[str, Any] = {
        "drop": args.drop,
        "strength": actions.strengths(args.strength),
        "warn": note,
    }
    output = pipe(stack, **options)
    if args.action == "look":
        shown = actions.looks(pipe, output, options["strength"])
    else:
        shown = {f"{args.labels.resolve().stem}-{args.action}": output.images[0]}
    for path in actions.save(shown, args.out):
        say(str(path))
    return 0


def _written(folder: Path, stack: LabelStack) -> None:
    from compose_tlam.folder import write_folder

    for path in write_folder(folder, stack):
        say(str(path))
