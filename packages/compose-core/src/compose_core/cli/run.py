"""``compose run``: a scene file to a picture, or a picture to itself."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from compose_core.cli import note, say


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    add(
        "scene",
        metavar="SCENE",
        type=Path,
        help="a .toml or .json scene, or a .png or .flac made by run",
    )
    add("--method", metavar="M", help="see `compose methods` (default: regional)")
    add("--model", metavar="ID", help="model of the zoo or folder (default: sd-tiny)")
    add("--seed", metavar="N", type=int, help="seed of the first picture (default: the scene's)")
    add("--steps", metavar="N", type=int, help="sampler steps (default: 30)")
    add("--guidance", metavar="S", type=float, help="guidance scale, 1 is none (default: 5)")
    add("--num", metavar="N", type=int, default=1, help="number of pictures (default: 1)")
    add("--device", metavar="D", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    add("--max-batch", metavar="N", type=int, help="rows of one network call (default: 64)")
    add("--out", metavar="DIR", type=Path, default=Path("."), help="folder, or a name.png")
    add("--trace", action="store_true", help="also write what happened at each step")
    add("--strict", action="store_true", help="warnings are errors")
    add("--allow-outside", action="store_true", help="read files outside the scene's folder")
    add("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Make the pictures and print their paths."""
    given: dict[str, Any] = {
        key: getattr(args, key)
        for key in ("method", "model", "seed", "steps", "guidance", "device", "max_batch")
        if getattr(args, key) is not None
    }
    shared: dict[str, Any] = {
        "num": args.num,
        "out": args.out,
        "name": args.scene.stem,
        "trace": args.trace,
        "strict": args.strict,
        "progress": not args.quiet,
        "warn": note,
    }
    if args.scene.suffix.lower() in (".png", ".flac"):
        return _again(args.scene, given, shared)
    from compose_core.scene import load_scene

    scene = load_scene(args.scene, allow_outside=args.allow_outside)
    from compose_core.run import run_scene

    for path in run_scene(scene, **given, **shared):
        say(str(path))
    return 0


def _again(source: Path, given: dict[str, Any], shared: dict[str, Any]) -> int:
    """Make a picture again from the record inside it."""
    from compose_core.run import load_record, remake

    for path, same in remake(load_record(source), source, **given, **shared):
        say(str(path))
        if same is not None:
            note(f"{path} is {'identical to' if same else 'not identical to'} {source}")
    return 0
