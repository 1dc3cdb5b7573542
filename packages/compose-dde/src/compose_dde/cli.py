"""``compose dde``: music that is written while it is made, and folders looked into."""

from __future__ import annotations

import argparse
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
    add("--device", default="cpu", metavar="D", help="cpu, cuda, ... (default: cpu)")
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

    from compose_dde.audio import Recorder
    from compose_dde.pipeline import MusicPipeline

    pipe = MusicPipeline.from_pretrained(
        args.model, device=args.device, coordinator=args.coordinator, steps=args.steps
    )
    channels = len(pipe.names) if args.stems else 1
    generator = torch.Generator().manual_seed(args.seed)
    done = 0
    with Recorder(args.out, pipe.sample_rate, channels) as file:
        for piece in pipe.stream(args.duration, generator=generator):
            file.write(piece if args.stems else piece.sum(0, keepdim=True))
            done += piece.shape[1]
            note(f"{done / pipe.sample_rate:.0f} of {args.duration:.0f} s")
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
