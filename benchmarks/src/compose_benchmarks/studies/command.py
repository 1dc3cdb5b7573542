"""``compose bench study``: its arguments, and what it does."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_benchmarks.studies import NAMES, find
from compose_core.cli import note, say
from compose_core.errors import UsageError

if TYPE_CHECKING:
    from compose_benchmarks.studies.execute import StudyJob
    from compose_benchmarks.studies.record import StudyRecord
    from compose_benchmarks.studies.walk import Progress

__all__ = ["configure", "run"]

_DEFAULTS: dict[str, Any] = {
    "model": "sd-tiny",
    "adapter": "cnc-tiny",
    "steps": 30,
    "guidance": 1.0,
    "cfg": "drop_exemplar",
    "micro_batch": 8,
    "max_batch": 64,
    "threads": 1,
}
"""What a command leaves out when it is written into a record."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add, usual = parser.add_argument, _DEFAULTS
    add("study", metavar="NAME", help=", ".join(NAMES))
    add("--model", metavar="ID", default=usual["model"], help="model of the zoo or folder")
    add("--adapter", metavar="ID", default=usual["adapter"], help="adapter of the zoo or folder")
    add("--quick", action="store_true", help="a few pairs, to see that everything works")
    add("--num", metavar="N", type=int, help="number of pairs (default: the study's)")
    add("--steps", metavar="N", type=int, default=usual["steps"], help="sampler steps")
    text = "there is no prompt: 1, the default, asks what --cfg official asks twice"
    add("--guidance", metavar="S", type=float, default=usual["guidance"], help=text)
    text = "what the unconditional side hears with another --guidance"
    add("--cfg", metavar="MODE", default=usual["cfg"], help=text)
    add("--device", metavar="D", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    add("--micro-batch", metavar="N", type=int, default=usual["micro_batch"])
    add("--max-batch", metavar="N", type=int, default=usual["max_batch"])
    add("--threads", metavar="N", type=int, default=usual["threads"])
    add("--out", metavar="DIR", type=Path, default=Path("runs"), help="folder of runs")
    text = "also write record and figure where pages are made from"
    add("--publish", action="store_true", help=text)
    add("--replace", action="store_true", help="publish also over the record of more pairs")
    add("--results", metavar="DIR", type=Path, help="where that is (default: benchmarks/results)")
    add("--quiet", action="store_true", help="no progress bar")


def run(
    args: argparse.Namespace, bar: Callable[[str, bool], AbstractContextManager[Progress]]
) -> int:
    """Make the pictures, measure them, write record and figure."""
    from compose_benchmarks.facts import results_folder
    from compose_benchmarks.studies import execute

    study = find(args.study)
    number = args.num if args.num is not None else study.quick if args.quick else study.n
    if args.publish and args.quick:
        raise UsageError("a quick run says too little to be published", remedy="leave out --quick")
    sitting = execute.prepare(_job(args, number))
    results = args.results if args.results is not None else results_folder()
    if args.publish:
        execute.check_place(results, sitting, replace=args.replace)
    with bar(study.name, args.quiet) as progress:
        sitting.make(progress)
    record = execute.measure(
        sitting, command=_command(args, sitting.plan.device), quick=bool(args.quick)
    )
    image = execute.figure(sitting, record)
    note(f"{study.name}: {execute.write(sitting, record, image)}")
    if args.publish:
        note(f"{study.name}: {execute.publish(results, record, image)}")
    say(table(record))
    return 0


def table(record: StudyRecord) -> str:
    """The series of a record in rows, with the ends of the intervals."""
    metrics = [one.id for one in record.series[0].metrics]
    lines = [f"### {record.task.name}, n = {record.task.n}", ""]
    lines += ["| series | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    for one in record.series:
        cells = [
            f"{m.value:.3f}"
            + (f" [{m.interval.low:.3f}, {m.interval.high:.3f}]" if m.interval else "")
            for m in one.metrics
        ]
        lines.append(f"| {one.id} | " + " | ".join(cells) + " |")
    lines += ["", "| difference | metric | value | p |", "|---|---|---|---|"]
    for one in record.differences:
        ends = f" [{one.interval.low:.3f}, {one.interval.high:.3f}]" if one.interval else ""
        lines.append(
            f"| {one.a} - {one.b} | {one.metric} | {one.value:+.3f}{ends} | {one.p:.3g} |"
        )
    return "\n".join(lines)


def _job(args: argparse.Namespace, number: int) -> StudyJob:
    from compose_benchmarks.studies.execute import StudyJob
    from compose_core.run.limits import check_device

    return StudyJob(
        study=args.study,
        n=number,
        device=check_device(args.device),
        out=args.out / "studies",
        **{key: getattr(args, key) for key in _DEFAULTS},
    )


def _command(args: argparse.Namespace, device: str) -> str:
    """The command that makes this record again."""
    words = ["compose", "bench", "study", args.study]
    words += ["--quick"] if args.quick else []
    words += ["--num", str(args.num)] if args.num is not None else []
    for key, usual in _DEFAULTS.items():
        if (value := getattr(args, key)) != usual:
            words += [f"--{key.replace('_', '-')}", str(value)]
    words += ["--device", device]  # always: the usual one is the machine's
    return shlex.join(words)
