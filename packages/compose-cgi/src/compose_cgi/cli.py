"""``compose cgi``: panoramas without a scene file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from compose_core.cli import note, say
from compose_core.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "make a picture larger than the model was trained on"
    panorama = actions.add_parser("panorama", help=text, description=text, allow_abbrev=False)
    panorama.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
    add = panorama.add_argument
    add("prompt", metavar="PROMPT", help="what there is; with --also, in the first part")
    add("--width", metavar="N", type=int, required=True, help="in pixels")
    add("--height", metavar="N", type=int, help="in pixels (default: that of the model)")
    add(
        "--also",
        metavar="PROMPT",
        action="append",
        default=[],
        help="more parts: to the right, or down if it is upright",
    )
    add("--negative", metavar="TEXT", default="", help="what there should not be")
    add("--wrap", action="store_true", help="the right edge continues at the left one")
    add("--model", metavar="ID", default="sd-tiny", help="model of the zoo or folder")
    add("--seed", metavar="N", type=int, default=0, help="of the first picture (default: 0)")
    add("--steps", metavar="N", type=int, help="sampler steps (default: 30)")
    add("--guidance", metavar="S", type=float, help="guidance scale, 1 is none (default: 5)")
    add("--num", metavar="N", type=int, default=1, help="number of pictures (default: 1)")
    add("--device", metavar="D", help="cpu, cuda, ... (default: a GPU if there is one)")
    add("--max-batch", metavar="N", type=int, help="rows of one network call (default: 64)")
    add("--out", metavar="DIR", type=Path, default=Path("."), help="folder, or a name.png")
    add("--trace", action="store_true", help="also write what happened at each step")
    add("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Make the pictures and print their paths."""
    if args.width < 1 or (args.height is not None and args.height < 1):
        raise UsageError("a size is positive", got=f"--width {args.width} --height {args.height}")
    from compose_core import zoo
    from compose_core.run import run_scene
    from compose_core.run.limits import read_sizes
    from compose_core.scene import build

    sizes = read_sizes(zoo.resolve(args.model))
    high, wide = (side * sizes.factor for side in sizes.trained)
    height = high if args.height is None else args.height
    if args.also and not args.wrap and args.width <= wide and height <= high:
        raise UsageError(
            "one view shows all of this picture, so it has no parts",
            got=f"{args.width} x {height} pixels and --also",
            expected=f"more than {wide} x {high} pixels",
            remedy="use a larger --width, or write a scene with layers for `compose run`",
        )
    scene = build(_scene(args, height))
    given = {
        key: getattr(args, key)
        for key in ("steps", "guidance", "device", "max_batch")
        if getattr(args, key) is not None
    }
    pictures = run_scene(
        scene,
        method="cgi",
        model=args.model,
        num=args.num,
        out=args.out,
        name="panorama",
        trace=args.trace,
        progress=not args.quiet,
        warn=note,
        **given,
    )
    for path in pictures:
        say(str(path))
    return 0


def _scene(args: argparse.Namespace, height: int) -> dict[str, Any]:
    """The prompts as layers in strips, so that the picture can be made again from its record."""
    prompts = [args.prompt, *args.also]
    upright = height > args.width
    layers: list[dict[str, Any]] = []
    for i, prompt in enumerate(prompts):
        low, high = i / len(prompts), (i + 1) / len(prompts)
        layer: dict[str, Any] = {"name": f"part {i + 1}", "prompt": prompt}
        if len(prompts) > 1:
            layer["box"] = (0.0, low, 1.0, high) if upright else (low, 0.0, high, 1.0)
        layers.append(layer)
    negative = {"negative": args.negative} if args.negative else {}
    wrap = {"wrap": True} if args.wrap else {}
    return {
        "version": 1,
        "canvas": (args.width, height),
        "prompt": args.prompt,
        "seed": args.seed,
        "layers": layers,
        **negative,
        **wrap,
    }
