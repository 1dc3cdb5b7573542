"""Run a suite: what is missing is made, group by group, in any number of processes.

The work list is the folder itself: an item is done when its file is whole. A run that was killed
is continued by the same command and loses the group at hand, at most. Groups are fixed by item
numbers, and every process makes every `count`-th one, so the files do not depend on how many
processes there were.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from compose_benchmarks.items import Item, digest
from compose_benchmarks.runner.files import finished, path_of
from compose_benchmarks.runner.share import Share, groups
from compose_benchmarks.runner.spec import Spec, sources_digest
from compose_benchmarks.suite import Suite
from compose_core.errors import UsageError
from compose_core.method import Method
from compose_core.run.files import check_writable, write_atomic
from compose_core.run.record import MAX_BATCH

__all__ = ["Job", "Outcome", "Run", "make", "prepare", "wait"]

Progress = Callable[[int, int], None]
"""Receives how many items are done, of how many."""

SAMPLERS = ("ddim", "euler", "heun")
"""Names of the samplers that a run may walk with."""

PATIENCE = 120.0
"""Seconds without a new file after which the first process takes over the work of the others."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a user asks for.

    Attributes:
        suite: Name of the suite.
        method: Name of the method.
        model: Id in the zoo, or a folder.
        n: Number of items.
        sampler: Name of the sampler.
        steps: Its steps.
        guidance: Scale of classifier-free guidance.
        device: cpu, cuda, cuda:1, mps.
        micro_batch: Items in one batch.
        max_batch: The most rows of one network call.
        threads: Threads of each process on the CPU. A fixed number, because sums in another
            order round to other pictures.
        out: Folder of all runs.
    """

    suite: str
    method: str
    model: str = "sd-tiny"
    n: int
    sampler: str = "ddim"
    steps: int = 30
    guidance: float = 5.0
    device: str = "cpu"
    micro_batch: int = 8
    max_batch: int = MAX_BATCH
    threads: int = 1
    out: Path = Path("runs/bench")

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense.

        Raises:
            UsageError: One is out of range.
        """
        counts = {"n": self.n, "steps": self.steps, "micro batch": self.micro_batch}
        counts |= {"largest batch": self.max_batch, "threads": self.threads}
        for name, value in counts.items():
            if not 1 <= value <= 1_000_000:
                raise UsageError(f"the {name} makes no sense", got=value, expected="at least 1")
        if self.sampler not in SAMPLERS:
            raise UsageError("unknown sampler", got=self.sampler, expected=", ".join(SAMPLERS))
        if not 0 <= self.guidance <= 1000:  # also refuses NaN
            raise UsageError(
                "the guidance makes no sense", got=self.guidance, expected="0 to 1000"
            )


@dataclass(frozen=True, kw_only=True)
class Run:
    """A job whose items, weights and code are known.

    Attributes:
        job: What was asked for.
        suite: The suite.
        items: Its items.
        spec: All that decides the pictures.
        weights: Folder of the model.
        method: The method.
    """

    job: Job
    suite: Suite
    items: tuple[Item, ...]
    spec: Spec
    weights: Path
    method: type[Method]

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.job.out / self.spec.run_id[:16]

    def groups(self) -> list[range]:
        """The micro-batches."""
        return groups(len(self.items), self.spec.micro_batch)

    def missing(self, among: list[range] | None = None) -> list[range]:
        """The groups in which a file is missing or damaged."""
        every = self.groups() if among is None else among
        return [group for group in every if any(not self.done(i) for i in group)]

    def done(self, number: int) -> bool:
        """Whether the file of an item is whole."""
        return finished(self.folder, self.spec, self.items[number])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What making the pictures took, over all sittings.

    Attributes:
        seconds: Sum over the groups.
        evaluations: Mean rows asked of networks for one item.
        peak_bytes: Most memory of any group.
    """

    seconds: float
    evaluations: float
    peak_bytes: int


def prepare(job: Job) -> Run:
    """Find everything that a job names, and write down what will be made.

    Raises:
        UsageError: There is no such suite, method or model.
        WeightsError: The model is not here, or damaged.
        ComposeError: The folder cannot be written.
    """
    from compose_benchmarks.registry import find as find_suite
    from compose_core.method import find as find_method
    from compose_core.run.execute import locate_model

    suite, method = find_suite(job.suite), find_method(job.method)
    check_writable(job.out)
    weights, sha256 = locate_model(job.model)
    items = suite.items(job.n)
    spec = Spec(
        suite=suite.name,
        suite_version=suite.version,
        items_sha256=digest(items),
        n=len(items),
        method=job.method,
        model=job.model,
        model_sha256=sha256,
        sampler=job.sampler,
        steps=job.steps,
        guidance=float(job.guidance),
        dtype="float32",
        micro_batch=job.micro_batch,
        max_batch=job.max_batch,
        threads=job.threads,
        device=job.device.partition(":")[0],
        sources_sha256=sources_digest(method),
    )
    run = Run(job=job, suite=suite, items=items, spec=spec, weights=weights, method=method)
    about = {"spec": asdict(spec), "items": [item.to_json() for item in items]}
    _write_json(run.folder / "run.json", about)
    return run


def make(run: Run, share: Share | None = None, progress: Progress | None = None) -> None:
    """Make what is missing of this process's share of the groups.

    Raises:
        ComposeError: A scene, the model or the disk does not permit it.
    """
    share = share or Share()
    mine = share.mine(run.groups())
    total = sum(map(len, mine))
    missing = run.missing(mine)
    done = total - sum(map(len, missing))
    if progress is not None:
        progress(done, total)
    for group in _made(run, missing, share) if missing else ():
        done += len(group)
        if progress is not None:
            progress(done, total)


def wait(run: Run, patience: float = PATIENCE, progress: Progress | None = None) -> None:
    """Wait until other processes have made the rest; make it here when they stall.

    Raises:
        ComposeError: As `make`.
    """
    rest = {i for group in run.groups() for i in group}
    last = time.monotonic()
    while rest:
        found = {i for i in rest if path_of(run.folder, i).exists()}
        found = {i for i in found if run.done(i)}
        rest -= found
        last = time.monotonic() if found else last
        if progress is not None:
            progress(len(run.items) - len(rest), len(run.items))
        if rest and time.monotonic() - last > patience:
            return make(run, Share(), progress)
        if rest:
            time.sleep(0.5)
    return None


def outcome(run: Run) -> Outcome:
    """What the pictures took, from what each group wrote down."""
    found = [_read_cost(run, group) for group in run.groups()]
    known = [cost for cost in found if cost]
    items = sum(cost["items"] for cost in known)
    return Outcome(
        seconds=sum(cost["seconds"] for cost in known),
        evaluations=sum(cost["evaluations"] for cost in known) / max(items, 1),
        peak_bytes=int(max((cost["peak_bytes"] for cost in known), default=0)),
    )


def _made(run: Run, missing: list[range], share: Share) -> Iterator[range]:
    """Make groups; yields each as soon as its files are written."""
    import torch

    from compose_benchmarks.runner.files import write
    from compose_benchmarks.runner.generate import draw, sampler
    from compose_core.backbones import load_model

    before = torch.get_num_threads()
    torch.set_num_threads(run.spec.threads)
    try:
        device = share.device(run.job.device)
        model = load_model(run.weights, device=device, id=run.job.model)
        walk = sampler(run.spec.sampler, model, run.spec.steps)
        method = run.method()
        for group in missing:
            some = [run.items[i] for i in group]
            pictures, cost = draw(
                model,
                method,
                some,
                walk=walk,
                guidance=run.spec.guidance,
                device=device,
                max_batch=run.spec.max_batch,
            )
            for item, picture in zip(some, pictures, strict=True):
                if not run.done(item.number):
                    write(run.folder, run.spec, item, picture)
            _write_json(_cost_path(run, group), asdict(cost))
            yield group
    finally:
        torch.set_num_threads(before)


def _cost_path(run: Run, group: range) -> Path:
    return run.folder / "cost" / f"{group.start:05d}.json"


def _read_cost(run: Run, group: range) -> dict[str, float]:
    try:
        return dict(json.loads(_cost_path(run, group).read_text("utf-8")))
    except (OSError, ValueError):  # killed between its pictures and this note
        return {}


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=True, sort_keys=True) + "\n"
    data = text.encode()
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)


def environment_threads() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
