"""``compose bench``: list suites, run them, show their tables."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_benchmarks.studies import command as study
from compose_benchmarks.trials import command as trial
from compose_core.cli import note, say
from compose_core.errors import UsageError

if TYPE_CHECKING:
    from compose_benchmarks.record import Record
    from compose_benchmarks.runner import Job, Run
    from compose_benchmarks.runner.execute import Progress
    from compose_benchmarks.runner.share import Share
    from compose_benchmarks.suite import Suite

_DEFAULTS: dict[str, Any] = {
    "model": "sd-tiny",
    "sampler": "ddim",
    "steps": 30,
    "guidance": 5.0,
    "micro_batch": 8,
    "max_batch": 64,
    "threads": 1,
}
"""What a command leaves out when it is written into a record."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
        return made

    action("list", "all suites, and the methods that can run them")
    _configure_run(action("run", "make and measure the pictures of a suite"))
    _configure_table(action("table", "leaderboards from result records"))
    study.configure(action("study", "one method under changing settings"))
    trial.configure(action("trial", "a table of samples that are no pictures of scenes"))


def _configure_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("suite", metavar="SUITE", help="see `compose bench list`")
    add("--method", metavar="M", action="append", help="may be repeated (default: every method)")
    add("--model", metavar="ID", default=_DEFAULTS["model"], help="model of the zoo or folder")
    add("--quick", action="store_true", help="a few pictures, to see that everything works")
    add("--num", metavar="N", type=int, help="number of pictures (default: the suite's)")
    add("--sampler", metavar="S", default=_DEFAULTS["sampler"], help="ddim, euler, heun")
    add("--steps", metavar="N", type=int, default=_DEFAULTS["steps"], help="sampler steps")
    add("--guidance", metavar="S", type=float, default=_DEFAULTS["guidance"], help="1 is none")
    add("--device", metavar="D", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    add("--processes", metavar="N", type=int, default=1, help="start this many processes")
    add("--micro-batch", metavar="N", type=int, default=_DEFAULTS["micro_batch"])
    most = _DEFAULTS["max_batch"]
    text = f"rows of one network call (default: {most})"
    add("--max-batch", metavar="N", type=int, default=most, help=text)
    add("--threads", metavar="N", type=int, default=_DEFAULTS["threads"], help="per process")
    add("--out", metavar="DIR", type=Path, default=Path("runs"), help="folder of runs")
    text = "make nothing: measure the pictures that are there"
    add("--measure-only", action="store_true", help=text)
    add("--publish", action="store_true", help="also write the record where tables are made from")
    text = "publish also over the record of a longer run, or of another sampler"
    add("--replace", action="store_true", help=text)
    add("--results", metavar="DIR", type=Path, help="where that is (default: benchmarks/results)")
    text = "with --measure-only: go on without pictures that are missing or damaged"
    add("--skip-unreadable", action="store_true", help=text)
    add("--quiet", action="store_true", help="no progress bar")


def _configure_table(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("suite", metavar="SUITE", nargs="?", help="default: all that have results")
    add("--format", metavar="F", default="md", help="md, csv, json (default: md)")
    add("--results", metavar="DIR", type=Path, help="default: benchmarks/results of the clone")
    add("--skip-unreadable", action="store_true", help="go on without files that are no records")


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    if args.action == "list":
        return _list()
    if args.action == "study":
        return study.run(args, _bar)
    if args.action == "trial":
        return trial.run(args)
    return _run(args) if args.action == "run" else _table(args)


def _list() -> int:
    from compose_benchmarks import studies, trials
    from compose_benchmarks.registry import find, suites, usual

    for name in suites():
        suite = find(name)
        able, _ = usual(suite)
        say(f"{name:<22} n = {suite.n:<5} {suite.summary}")
        say(f"{'':<22} methods: {', '.join(able)}")
    for one in map(studies.find, studies.NAMES):
        say(f"{one.name:<22} n = {one.n:<5} study of cnc: {one.summary}")
    for name in trials.NAMES:
        found = trials.find(name)
        say(f"{found.name:<22} n = {found.n:<5} trial: {found.summary}")
    return 0


def _table(args: argparse.Namespace) -> int:
    from compose_benchmarks.board import boards, read_results
    from compose_benchmarks.facts import results_folder
    from compose_benchmarks.registry import find, suites
    from compose_benchmarks.table import FORMATS, render

    if args.format not in FORMATS:
        raise UsageError("unknown format", got=args.format, expected=", ".join(FORMATS))
    if args.suite is not None:
        find(args.suite)  # an unknown name is an error of its own
    folder = args.results if args.results is not None else results_folder()
    found, skipped = read_results(folder, args.suite, skip_unreadable=args.skip_unreadable)
    known = suites()
    made = [
        one
        for name, records in sorted(found.items())
        for one in boards(records, find(name).primary if name in known else None)
    ]
    say(render(made, args.format))
    apart = {one.suite for one in made if [other.suite for other in made].count(one.suite) > 1}
    for name in sorted(apart):
        note(f"{name}: results that cannot be ranked together stand in tables of their own")
    for line in skipped:
        note(f"skipped: {line}")
    if skipped:
        note(f"{len(skipped)} files were skipped")
    return 0


def _run(args: argparse.Namespace) -> int:
    from compose_benchmarks.board import board
    from compose_benchmarks.registry import find
    from compose_benchmarks.runner.share import Share
    from compose_benchmarks.table import render

    suite = find(args.suite)
    number = args.num if args.num is not None else suite.quick if args.quick else suite.n
    _check(args, suite, number)
    share = Share.from_environment()
    if share.count > 1 and args.processes > 1:
        raise UsageError(
            "a launcher started the processes already",
            got=f"--processes {args.processes}, and {share.count} processes of a launcher",
            remedy="leave out --processes",
        )
    records = [
        made
        for method in _methods(args, suite, share)
        if (made := _one(args, suite, method, number, share)) is not None
    ]
    if records:
        say(render([board(records, suite.primary)], "md"))
    return 0


def _check(args: argparse.Namespace, suite: Suite, number: int) -> None:
    """What can be said before anything is computed."""
    if number < suite.minimum:
        raise UsageError(
            f"too few pictures for {suite.name!r}",
            got=number,
            expected=f"--num of at least {suite.minimum}",
        )
    if args.publish and args.quick:
        raise UsageError("a quick run says too little to be published", remedy="leave out --quick")
    if args.skip_unreadable and not args.measure_only:
        raise UsageError(
            "--skip-unreadable goes with --measure-only",
            remedy="leave it out: pictures that are missing or damaged are made again",
        )
    if args.processes < 1:
        raise UsageError("the number of processes makes no sense", got=args.processes)


def _methods(args: argparse.Namespace, suite: Suite, share: Share) -> list[str]:
    from compose_benchmarks.registry import usual
    from compose_core.method import find as find_method

    if args.method is not None:
        for name in args.method:
            find_method(name)
        return list(dict.fromkeys(args.method))
    able, unable = usual(suite)
    for reason in unable.values():
        if share.rank == 0:
            note(f"left out: {reason}")
    return able


def _one(
    args: argparse.Namespace, suite: Suite, method: str, number: int, share: Share
) -> Record | None:
    """Make and measure one method; only the first process gets a record."""
    from compose_benchmarks import measure
    from compose_benchmarks.facts import results_folder
    from compose_benchmarks.gallery import collect
    from compose_benchmarks.judges import Eyes
    from compose_benchmarks.runner import prepare

    job = _job(args, method, number)
    prepared = prepare(job)
    folder = args.results if args.results is not None else results_folder()
    if args.publish:
        measure.check_place(folder, prepared, replace=args.replace)
    if not args.measure_only:
        with _bar(f"{suite.name} {method}", args.quiet or share.rank > 0) as progress:
            _make(prepared, share, args.processes, progress)
    if share.rank > 0:
        return None
    gallery = collect(prepared, Eyes(), skip_unreadable=args.skip_unreadable)
    for line in gallery.skipped:
        note(f"skipped: {line}")
    results = measure.score(gallery)
    quick = bool(args.quick)
    made = measure.describe(prepared, gallery, results, command=_command(args, job), quick=quick)
    note(f"{method}: {measure.write(prepared, made)}")
    if args.publish:
        note(f"{method}: {measure.publish(folder, prepared, gallery, made)}")
    return made


def _make(prepared: Run, share: Share, processes: int, progress: Progress) -> None:
    from compose_benchmarks.runner.execute import make, wait
    from compose_benchmarks.runner.several import make_in_processes

    if share.count == 1:
        make_in_processes(prepared, processes, progress)
        return
    make(prepared, share, progress)
    if share.rank == 0:
        wait(prepared, progress=progress)


def _job(args: argparse.Namespace, method: str, number: int) -> Job:
    from compose_benchmarks.runner import Job
    from compose_core.run.limits import check_device

    return Job(
        suite=args.suite,
        method=method,
        model=args.model,
        n=number,
        sampler=args.sampler,
        steps=args.steps,
        guidance=args.guidance,
        device=check_device(args.device),
        micro_batch=args.micro_batch,
        max_batch=args.max_batch,
        threads=args.threads,
        out=args.out / "bench",
    )


def _command(args: argparse.Namespace, job: Job) -> str:
    """The command that makes this record again."""
    words = ["compose", "bench", "run", args.suite, "--method", job.method]
    words += ["--quick"] if args.quick else []
    words += ["--num", str(job.n)] if args.num is not None else []
    for key, usual in _DEFAULTS.items():
        value = getattr(job, key)
        if value != usual:
            words += [f"--{key.replace('_', '-')}", str(value)]
    words += ["--device", job.device.partition(":")[0]]  # always: the usual one is the machine's
    return shlex.join(words)


@contextmanager
def _bar(title: str, hidden: bool) -> Iterator[Progress]:
    """A progress bar with the time left, on standard error."""
    from tqdm import tqdm

    with tqdm(desc=title, unit="picture", disable=hidden, mininterval=0.5) as bar:

        def progress(done: int, total: int) -> None:
            if bar.total != total:  # what an earlier sitting made tells nothing about speed
                bar.reset(total)
                bar.initial = done
            bar.n = done
            bar.refresh()

        yield progress
