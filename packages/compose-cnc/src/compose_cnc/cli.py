"""``compose cnc``: the published checkpoint converted, and triplets made for training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compose_core.cli import note, say
from compose_core.errors import SceneError, UsageError

if TYPE_CHECKING:
    from compose_cnc.data import Report, Source, Tools


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
        return made

    _configure_convert(action("convert", "write the published checkpoint as a diffusers folder"))
    _configure_triplets(action("triplets", "take pictures apart for depth disentangled training"))


def _configure_convert(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", type=Path, help="a .ckpt or .safetensors")
    add("out", metavar="OUT", type=Path, help="a folder that is not there yet")
    add("--base", metavar="DIR", type=Path, help="Stable Diffusion 1 folder, for its tokenizer")
    add("--image-encoder", metavar="DIR", type=Path, help="CLIP ViT-L/14, to be put beside it")
    add("--verify", action="store_true", help="read everything back and compare all tensors")


def _configure_triplets(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", type=Path, help="COCO-Stuff, Pick-a-Pic or any pictures")
    add("out", metavar="OUT", type=Path, help="the data set; begun or not")
    add("--inpainting", metavar="DIR", type=Path, required=True, help="a diffusers pipeline")
    add("--depth", metavar="DIR", type=Path, required=True, help="a depth model of transformers")
    add("--image-encoder", metavar="DIR", type=Path, required=True, help="CLIP ViT-L/14")
    add("--layout", metavar="L", help="coco-stuff, pick-a-pic, folder (default: by its files)")
    add("--split", metavar="S", default="train2017", help="of COCO-Stuff (default: train2017)")
    add("--captions", metavar="FILE", type=Path, help="of a plain folder")
    add("--without-words", metavar="FILE", type=Path, help="leave out captions with these words")
    add("--masks", metavar="DIR", type=Path, help="masks NAME.png; before any other")
    add("--salient", metavar="M:F", help="MODULE:FACTORY that makes a salient-object network")
    add("--size", metavar="N", type=int, default=512, help="pixels (default: 512)")
    add("--fit", choices=("crop", "stretch"), default="crop", help="how pictures become square")
    add("--dilation", metavar="N", type=int, default=50, help="of masks, at 512 (default: 50)")
    add("--prompt", metavar="TEXT", help="what is painted behind the foreground")
    add("--negative", metavar="TEXT", help="what is not")
    add("--strength", metavar="X", type=float, default=1.0, help="of inpainting (default: 1)")
    add("--guidance", metavar="X", type=float, default=10.0, help="of inpainting (default: 10)")
    add("--steps", metavar="N", type=int, default=25, help="of inpainting (default: 25)")
    add("--paste-back", action="store_true", help="keep the source where nothing is painted")
    add(
        "--depth-input",
        choices=("processor", "raw"),
        default="processor",
        help="raw: unprepared pictures, as the official code",
    )
    add("--seed", metavar="N", type=int, default=0, help="of noise and captions (default: 0)")
    add("--shard", metavar="I/N", default="1/1", help="make only this part")
    add("--batch", metavar="N", type=int, default=1, help="pictures at once (default: 1)")
    add("--device", metavar="D", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    add("--skip-unreadable", action="store_true", help="go on without pictures that are damaged")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    return _convert(args) if args.action == "convert" else _triplets(args)


def _convert(args: argparse.Namespace) -> int:
    from compose_cnc.convert import convert

    encoder = None
    if args.image_encoder is not None:
        from compose_cnc.data.adapters import load_exemplar_encoder

        encoder = load_exemplar_encoder(args.image_encoder)
    done = convert(args.checkpoint, args.out, base=args.base, exemplars=encoder, check=args.verify)
    for part, count in done.parameters.items():
        say(f"{part:<14} {count / 1e6:10.1f}M")
    for name, reason in done.absent.items():
        note(f"no {name}: {reason}")
    if args.verify:
        say(f"{done.compared} tensors compared, all equal")
    note(f"not kept: {', '.join(done.ignored) or 'nothing'}")
    say(str(done.folder))
    return 0


def _triplets(args: argparse.Namespace) -> int:
    from compose_cnc.data import Settings, Shard, make
    from compose_cnc.data.triplet import NEGATIVE, PROMPT

    shard = Shard.parse(args.shard)
    if args.out.absolute().is_relative_to(args.source.absolute()):
        raise UsageError(
            "the triplets would lie among their own sources",
            got=f"{args.out} in {args.source}",
            remedy="choose a folder elsewhere",
        )
    settings = Settings(
        size=args.size,
        fit=args.fit,
        seed=args.seed,
        dilation=args.dilation,
        paste_back=args.paste_back,
    )
    args.prompt = PROMPT if args.prompt is None else args.prompt
    args.negative = NEGATIVE if args.negative is None else args.negative
    source = _source(args)
    note(f"{source.layout}: {len(source.items)} pictures")
    report = make(
        source,
        args.out,
        _tools(args),
        settings,
        shard=shard,
        batch=args.batch,
        skip_unreadable=args.skip_unreadable,
        progress=lambda done, total: note(f"{done} of {total}") if _worth(done, total) else None,
    )
    return _tell(report, args.out)


def _worth(done: int, total: int) -> bool:
    """Whether to say how far it is: a hundred times at most."""
    return done == total or done % max(1, total // 100) == 0


def _source(args: argparse.Namespace) -> Source:
    from compose_cnc.data import find_source
    from compose_cnc.data.pick_a_pic import without_words

    source = find_source(
        args.source, args.layout, split=args.split, captions=args.captions, masks=args.masks
    )
    if args.without_words is None:
        return source
    try:
        return without_words(source, args.without_words.read_text("utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise SceneError("the list of words cannot be read", got=error) from error


def _tools(args: argparse.Namespace) -> Tools:
    from compose_cnc.data import Tools, adapters
    from compose_core.run.limits import check_device

    if args.steps < 1 or args.batch < 1 or not 0 < args.strength <= 1:
        raise UsageError(
            "a number makes no sense",
            got=f"--steps {args.steps} --batch {args.batch} --strength {args.strength}",
            expected="steps and batch from 1, strength above 0 and up to 1",
        )
    device = check_device(args.device)
    inpaint = adapters.DiffusersInpainter(
        args.inpainting,
        prompt=args.prompt,
        negative=args.negative,
        strength=args.strength,
        guidance=args.guidance,
        steps=args.steps,
        device=device,
    )
    folders = {"inpainting": args.inpainting, "depth": args.depth, "encoder": args.image_encoder}
    described: dict[str, object] = {k: adapters.describe_folder(v) for k, v in folders.items()}
    described |= {"inpainting options": inpaint.options, "depth input": args.depth_input}
    return Tools(
        inpaint=inpaint,
        depth=adapters.TransformersDepth(args.depth, preprocess=args.depth_input, device=device),
        encode=adapters.ClipEmbedding(adapters.load_exemplar_encoder(args.image_encoder, device)),
        salient=None if args.salient is None else adapters.salient_object(args.salient),
        described=described | {"salient": args.salient},
    )


def _tell(report: Report, out: Path) -> int:
    for name, reason in report.unreadable.items():
        note(f"unreadable: {name}: {reason}")
    counts = {
        "made": report.made,
        "kept": report.kept,
        "left out": len(report.left_out),
        "unreadable": len(report.unreadable),
    }
    say(", ".join(f"{count} {what}" for what, count in counts.items()))
    if report.manifest is None:
        note("other shards are not finished yet; the last one writes the manifest")
    say(str(report.manifest or out))
    return 0
