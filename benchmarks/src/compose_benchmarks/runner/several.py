"""Several processes on one machine, started here instead of by a launcher."""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue

from compose_benchmarks.runner.execute import Job, Progress, Run, make, prepare
from compose_benchmarks.runner.files import path_of
from compose_benchmarks.runner.share import Share
from compose_core.errors import ComposeError

__all__ = ["make_in_processes"]


def make_in_processes(run: Run, count: int, progress: Progress | None = None) -> None:
    """Make what is missing in `count` processes; the same files as in one.

    Raises:
        ComposeError: A process failed; what the others had finished stays.
    """
    if count <= 1 or len(run.missing()) <= 1:
        make(run, Share(), progress)
        return
    context = multiprocessing.get_context("spawn")
    errors: SimpleQueue[ComposeError] = context.SimpleQueue()
    started: list[BaseProcess] = []
    try:
        for rank in range(count):
            one = context.Process(target=_work, args=(run.job, rank, count, errors), daemon=True)
            one.start()
            started.append(one)
        while any(one.is_alive() for one in started):
            if progress is not None:
                there = sum(path_of(run.folder, item.number).exists() for item in run.items)
                progress(there, len(run.items))
            if any(one.exitcode not in (None, 0) for one in started):
                break
            time.sleep(0.3)
    finally:
        for one in started:
            if one.is_alive():
                one.terminate()
                one.join()
    if not errors.empty():
        raise errors.get()
    codes = [one.exitcode for one in started]
    if any(codes):
        raise ComposeError(
            "a process of the run died",
            got=f"exit codes {codes}",
            remedy="start the same command again: it goes on from here",
        )
    make(run, Share(), progress)  # nothing, unless a file was damaged meanwhile


def _work(job: Job, rank: int, count: int, errors: SimpleQueue[ComposeError]) -> None:
    with suppress(ValueError):  # Ctrl-C reaches the parent, which ends its children
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        make(prepare(job), Share(rank, count, rank), _with_parent)
    except ComposeError as error:
        errors.put(error)
        raise SystemExit(1) from None


def _with_parent(done: int, total: int) -> None:
    """Nobody waits for the work of a process whose parent was killed: it ends after a group."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise SystemExit(1)
