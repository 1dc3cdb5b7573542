"""``compose bench trial``: its arguments, and what it does."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from compose_benchmarks.trials import NAMES, find
from compose_core.cli import note, say
from compose_core.errors import UsageError

if TYPE_CHECKING:
    from compose_benchmarks.trials.trial import TrialRecord

__all__ = ["configure", "run", "table"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add = parser.add_argument
    add("trial", metavar="NAME", help=", ".join(NAMES))
    add("--model", metavar="ID", help="model of the zoo or folder (default: the trial's)")
    add("--method", metavar="M", action="append", help="may be repeated (default: every method)")
    add("--quick", action="store_true", help="a few samples, to see that everything works")
    add("--num", metavar="N", type=int, help="samples of each method (default: the trial's)")
    add("--device", metavar="D", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    add("--micro-batch", metavar="N", type=int, default=64, help="samples made together")
    add("--max-batch", metavar="N", type=int, default=64, help="rows of one network call")
    add("--out", metavar="DIR", type=Path, default=Path("runs") / "bench", help="folder of runs")
    add("--publish", action="store_true", help="write the record where pages are made from")
    add("--results", metavar="DIR", type=Path, help="where that is (default: benchmarks/results)")
    add("--quiet", action="store_true", help="say nothing while it lasts")


def run(args: argparse.Namespace) -> int:
    """Try everything, write the record, show the table."""
    from compose_benchmarks.facts import results_folder
    from compose_benchmarks.trials import sit
    from compose_benchmarks.trials.trial import Sitting
    from compose_core.run.limits import check_device

    trial = find(args.trial)
    number = args.num if args.num is not None else trial.quick if args.quick else trial.n
    if args.publish and args.quick:
        raise UsageError("a quick run says too little to be published", remedy="leave out --quick")
    if args.publish and args.method:
        raise UsageError(
            "only a whole table is published", got="--method", remedy="leave out --method"
        )
    sitting = Sitting(
        model=args.model or trial.model,
        n=number,
        device=check_device(args.device),
        max_batch=args.max_batch,
        micro_batch=args.micro_batch,
    )
    record = sit.sit(
        trial,
        sitting,
        command=_command(args, sitting.device),
        methods=args.method or (),
        quick=bool(args.quick),
        out=args.out,
        progress=(lambda _: None) if args.quiet else note,
    )
    note(f"{trial.name}: {sit.write(record, args.out)}")
    if args.publish:
        results = args.results if args.results is not None else results_folder()
        note(f"{trial.name}: {sit.write(record, results)}")
    say(table(record))
    return 0


def table(record: TrialRecord) -> str:
    """A table for each metric: methods in rows, settings in columns."""
    settings = list(dict.fromkeys(one.setting for one in record.entries))
    lines = [f"### {record.trial}, n = {record.n}", ""]
    for metric in record.entries[0].metrics:
        heads = [f"{record.varies} {setting}" for setting in settings]
        lines += [f"| {metric.id} | " + " | ".join(heads) + " |"]
        lines += ["|---" * (len(heads) + 1) + "|"]
        for method in record.methods:
            cells = [_cell(record, method, setting, metric.id) for setting in settings]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _cell(record: TrialRecord, method: str, setting: str, metric: str) -> str:
    found = record.of(method, setting).metric(metric)
    ends = found.interval
    return f"{found.value:.3f}" + (f" [{ends.low:.3f}, {ends.high:.3f}]" if ends else "")


def _command(args: argparse.Namespace, device: str) -> str:
    words = ["compose", "bench", "trial", args.trial]
    words += ["--model", args.model] if args.model else []
    words += [word for name in args.method or () for word in ("--method", name)]
    words += ["--quick"] if args.quick else []
    words += ["--num", str(args.num)] if args.num is not None else []
    words += ["--micro-batch", str(args.micro_batch)] if args.micro_batch != 64 else []
    words += ["--max-batch", str(args.max_batch)] if args.max_batch != 64 else []
    return shlex.join([*words, "--device", device])
