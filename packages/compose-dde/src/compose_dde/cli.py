"""``compose dde``: music that is written while it is made, and folders looked into."""

from __future__ import annotations

import argparse
import json
from itertools import chain
from pathlib import Path

from compose_core.cli import note, say


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "make music of any length, written while it is made"
    stream = actions.add_parser("stream", help=text, description=text, allow_abbrev=False)
    stream.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
    add = stream.add_argument
    add("duration", type=float, metavar="SECONDS", help="how long")
    add("--model", default="dde-music-tiny", metavar="ID", help="model of the zoo or folder")
    add("--coordinator", metavar="NAME", help="see `compose dde show` (default: the first)")
    add("--seed", type=int, default=0, metavar="N", help="default: 0")
    add("--steps", type=int, metavar="N", help="sampler steps (default: the model's)")
    add("--device", metavar="D", help="cpu, cuda, ... (default: a GPU if there is one)")
    add("--out", type=Path, default=Path("stream.flac"), metavar="FILE", help=".flac or .wav")
    add("--stems", action="store_true", help="one channel for each stem, instead of the mix")
    text = "say what a folder of a base model and its coordinators holds"
    show = actions.add_parser("show", help=text, description=text, allow_abbrev=False)
    show.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
    show.add_argument("model", metavar="ID", help="model of the zoo or folder")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    return _stream(args) if args.action == "stream" else _show(args)


def _stream(args: argparse.Namespace) -> int:
    import torch

    from compose_core.run import execute, limits
    from compose_core.run.files import check_writable
    from compose_core.run.record import MAX_BATCH
    from compose_dde.audio import Recorder
    from compose_dde.pipeline import MusicPipeline

    execute.check_settings(args.seed, 1 if args.steps is None else args.steps, 1.0, 1, MAX_BATCH)
    device = limits.check_device(args.device)
    folder, weights = execute.locate_model(args.model)
    pipe = MusicPipeline.from_pretrained(
        folder, device=device, coordinator=args.coordinator, steps=args.steps
    )
    rate, channels = pipe.sample_rate, len(pipe.names) if args.stems else 1
    made = {
        "duration": args.duration,
        "seed": args.seed,
        "steps": pipe.walk.steps,
        "coordinator": pipe.name,
        "model": execute.lasting(args.model),
        "weights": weights,
    }
    tags = {"comment": json.dumps(made)}
    Recorder.check(args.out, rate, channels, tags=tags)
    check_writable(args.out.parent)
    generator = torch.Generator().manual_seed(args.seed)
    pieces = pipe.stream(args.duration, generator=generator)
    first = next(pieces)  # what is there already is replaced once there is something to write
    done = 0
    with Recorder(args.out, rate, channels, tags=tags) as file:
        for piece in chain([first], pieces):
            file.write(piece if args.stems else piece.sum(0, keepdim=True))
            done += piece.shape[1]
            note(f"{done / rate:.0f} of {args.duration:.0f} s")
    say(str(args.out))
    return 0


def _show(args: argparse.Namespace) -> int:
    from compose_core import zoo
    from compose_dde.folder import load_expansion

    found = load_expansion(zoo.resolve(args.model))
    say(f"subject       {found.subject}")
    say(f"window        {' x '.join(map(str, found.window))}, stride {found.stride[0]}")
    base = sum(p.numel() for p in found.base.parameters())
    say(f"base          {type(found.base.backbone).__name__}, {base / 1e6:.2f}M")
    for name, one in found.coordinators.items():
        count = sum(p.numel() for p in one.parameters())
        say(f"coordinator   {name}: {type(one).__name__}, {count / 1e6:.2f}M")
    walk = found.walk
    say(f"walk          {walk.method}, {walk.steps} steps, {walk.sigma_min} to {walk.sigma_max}")
    return 0
