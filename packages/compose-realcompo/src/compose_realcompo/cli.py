"""``compose realcompo``: layouts made from prompts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compose_core.cli import note, say
from compose_core.errors import UsageError

if TYPE_CHECKING:
    from compose_realcompo.layout.model import Layout

_MAX_SEED = 2**63 - 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "write a scene file with a box for each object of a prompt"
    layout = actions.add_parser("layout", help=text, description=text, allow_abbrev=False)
    layout.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
    add = layout.add_argument
    add("prompt", metavar="PROMPT", help='for example "a red ball to the left of a blue cube"')
    add("--out", metavar="FILE", type=Path, help="a .toml (default: print it)")
    add("--force", action="store_true", help="overwrite the file")
    add("--canvas", metavar=("W", "H"), nargs=2, type=int, default=(512, 512), help="in pixels")
    add("--seed", metavar="N", type=int, default=0, help="of boxes and noise (default: 0)")
    add(
        "--planner",
        choices=("offline", "llm"),
        default="offline",
        help="a small grammar, or a language model (default: offline)",
    )
    add("--base-url", metavar="URL", help="of the model (default: COMPOSE_LLM_BASE_URL)")
    add("--llm-model", metavar="NAME", help="of the model (default: COMPOSE_LLM_MODEL)")
    add("--timeout", metavar="S", type=float, default=120.0, help="seconds per answer")
    add("--retries", metavar="N", type=int, default=3, help="answers to ask for (default: 3)")
    add("--append", action="store_true", help="append phrases that the prompt does not have")
    add("--no-cache", action="store_true", help="ask even what was asked before")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    from compose_realcompo.layout.scenes import check_target, to_scene, to_toml, write_scene

    canvas = (args.canvas[0], args.canvas[1])
    if min(canvas) < 1 or not 0 <= args.seed <= _MAX_SEED:
        raise UsageError(
            "a number makes no sense",
            got=f"--canvas {canvas[0]} {canvas[1]} --seed {args.seed}",
            expected=f"a canvas from 1 x 1, a seed from 0 to {_MAX_SEED}",
        )
    if args.out is not None:
        check_target(args.out, force=args.force)
    layout = _plan(args, canvas)
    if args.out is None:
        say(to_toml(to_scene(layout, canvas, seed=args.seed)).rstrip("\n"))
        return 0
    write_scene(layout, args.out, canvas=canvas, seed=args.seed, force=args.force)
    note(f"{len(layout.objects)} objects: {', '.join(o.name for o in layout.objects)}")
    say(str(args.out))
    return 0


def _plan(args: argparse.Namespace, canvas: tuple[int, int]) -> Layout:
    if args.planner == "offline":
        from compose_realcompo.layout.offline import plan_offline

        return plan_offline(args.prompt, seed=args.seed)
    from compose_realcompo.layout.endpoint import Endpoint
    from compose_realcompo.layout.llm import plan_llm

    return plan_llm(
        args.prompt,
        Endpoint.from_environment(args.base_url, args.llm_model, timeout=args.timeout),
        canvas=canvas,
        seed=args.seed,
        retries=args.retries,
        absent="append" if args.append else "refuse",
        cached=not args.no_cache,
    )
