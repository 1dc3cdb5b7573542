"""Train the fusers of a Stable Diffusion folder on triplets, one stage at a time.

accelerate launch -m compose_cnc.training local --base SD --data TRIPLETS --out A
accelerate launch -m compose_cnc.training global --base SD --data TRIPLETS --out B
accelerate launch -m compose_cnc.training joint --base SD --data TRIPLETS --out C \
    --start A/export B/export

Batches of 32 and 28, 24 and 9 epochs are the paper's (section 4.1). Leaving out each condition
for a tenth of the samples, and AdamW at 1e-5 without schedule, clipping or averaging, are the
published code's. The same command with --resume continues a run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch

from compose_cnc.folder import Adapter, load_adapter, save_adapter
from compose_cnc.model import SD15, TINY, GlobalFuser, LocalFuser
from compose_cnc.network import CnCNetwork
from compose_cnc.training.conditions import Dropout
from compose_cnc.training.forward import Stage
from compose_cnc.training.samples import TripletSamples
from compose_cnc.training.task import DisentanglementTask
from compose_core.backbones import Model, load_model
from compose_core.cli import note, say
from compose_core.errors import ComposeError, UsageError
from compose_core.train import TrainConfig, export, train

EPOCHS: dict[Stage, int] = {"local": 28, "global": 24, "joint": 9}
"""Paper, section 4.1."""

_SIZES = {"sd15": SD15, "tiny": TINY}


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    text = (__doc__ or "").splitlines()[0]
    made = argparse.ArgumentParser("python -m compose_cnc.training", description=text)
    add = made.add_argument
    add("stage", choices=get_args(Stage))
    add("--base", metavar="DIR", type=Path, required=True, help="a Stable Diffusion folder")
    add("--data", metavar="DIR", type=Path, required=True, help="from `compose cnc triplets`")
    add("--out", metavar="DIR", type=Path, required=True, help="checkpoints, log, and export/")
    add("--start", metavar="DIR", type=Path, nargs="*", default=[], help="adapters to start from")
    add("--sizes", choices=sorted(_SIZES), default="sd15", help="of a new local fuser")
    add("--epochs", metavar="N", type=int, help="default: 28 local, 24 global, 9 joint")
    add("--steps", metavar="N", type=int, help="instead of epochs")
    add("--batch", metavar="N", type=int, default=32, help="samples of a step (default: 32)")
    add("--accumulate", metavar="N", type=int, default=1, help="parts that a step is made in")
    add("--lr", metavar="X", type=float, default=1e-5, help="default: 1e-5")
    add("--dropout", metavar="P", type=float, default=0.1, help="of each condition")
    add("--precision", choices=("no", "bf16", "fp16"), default="no")
    add("--ema", metavar="X", type=float, default=0.0, help="decay of averaged weights; 0: none")
    add("--seed", metavar="N", type=int, default=0)
    add("--checkpoint-every", metavar="N", type=int, default=1000)
    add("--frozen-encoder", action="store_true", help="tokens learn as in the published code")
    add("--device", metavar="D", help="default: a GPU if there is one")
    add("--resume", action="store_true", help="continue the run in OUT")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; 1 after an error that was said."""
    try:
        _run(parser().parse_args(arguments))
    except ComposeError as error:
        note(str(error))
        return 1
    return 0


def _run(args: argparse.Namespace) -> None:
    base = load_model(args.base)
    samples = TripletSamples(args.data, base.text.tokenizer)
    start = _start(args.start)
    task = _task(args, base, samples, start)
    config = _config(args, len(samples))
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    first = os.environ.get("RANK", "0") == "0"
    for now in train(task, config, args.out / "run", resume=args.resume, device=device):
        if first and (now.step % 50 == 0 or now.step in (1, now.total)):
            say(f"step {now.step} of {now.total}  loss {now.loss:.4f}  {now.seconds:.0f} s")
    if first:
        export(args.out / "run", task.modules)
        made = replace(start, base=start.base or base.id, **task.modules)
        say(str(save_adapter(args.out / "export", made)))


def _config(args: argparse.Namespace, samples: int) -> TrainConfig:
    epochs = EPOCHS[args.stage] if args.epochs is None else args.epochs
    steps = max(1, epochs * samples // args.batch) if args.steps is None else args.steps
    if args.batch % args.accumulate:
        raise UsageError(
            "a step cannot be made in such parts",
            got=f"--batch {args.batch} --accumulate {args.accumulate}",
            expected="a batch that the parts share equally",
        )
    return TrainConfig(
        steps=steps,
        batch_size=args.batch // args.accumulate,
        accumulate=args.accumulate,
        lr=args.lr,
        seed=args.seed,
        warmup=0,
        decay="none",
        ema=args.ema,
        clip=0.0,
        precision=args.precision,
        checkpoint_every=args.checkpoint_every,
    )


def _start(folders: Sequence[Path]) -> Adapter:
    """The parts of several adapters together, a later one's before an earlier one's."""
    made = Adapter()
    for found in map(load_adapter, folders):
        given = {name: value for name, value in vars(found).items() if value}
        made = replace(made, **given)
    return made


def _task(
    args: argparse.Namespace, base: Model, samples: TripletSamples, start: Adapter
) -> DisentanglementTask:
    unet = base.components["unet"]
    local, tokens = start.local_fuser, start.global_fuser
    if args.stage == "joint" and (local is None or tokens is None):
        raise UsageError(
            "the joint stage starts from fusers that were trained apart",
            got=f"--start {' '.join(map(str, args.start)) or '(nothing)'}",
            expected="adapters with a local and a global fuser",
        )
    if args.stage == "local" and local is None:
        local = LocalFuser.from_unet(unet, _SIZES[args.sizes])
    if args.stage == "global" and tokens is None:
        tokens = GlobalFuser.fresh(samples.embedding_dim, unet.config.cross_attention_dim)
    Adapter(local_fuser=local, global_fuser=tokens).check_base(unet, base.codec.factor)
    network = CnCNetwork(
        unet,
        base.schedule,
        base.network.prediction_type,  # type: ignore[attr-defined]
        local_fuser=local if args.stage != "global" else None,
        global_fuser=tokens if args.stage != "local" else None,
    )
    empty = base.text.tokenizer(
        "", padding="max_length", max_length=base.text.length, return_tensors="pt"
    ).input_ids[0]
    return DisentanglementTask(
        network,
        base.text.text_encoder,
        empty,
        samples,
        args.stage,
        dropout=Dropout.all(args.dropout),
        codec=base.codec,  # type: ignore[arg-type]
        frozen_encoder=args.frozen_encoder,
    )


if __name__ == "__main__":
    sys.exit(main())
