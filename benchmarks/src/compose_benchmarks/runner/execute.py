"""Run a suite: what is missing is made, group by group, in any number of processes.

The work list is the folder itself: a group is done when the files of its items are whole and its
note says that they were made together. A run that was killed is continued by the same command, or
with another number of items, and loses the group at hand, at most. Groups are fixed by item
numbers, and every process makes every `count`-th one, so the files depend neither on how many
processes there were nor on what was asked for before.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from compose_benchmarks.items import Item, digest
from compose_benchmarks.runner.files import finished, write
from compose_benchmarks.runner.generate import Cost, draw, sampler
from compose_benchmarks.runner.share import Share, groups
from compose_benchmarks.runner.spec import Spec
from compose_benchmarks.sources import making
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
"""Seconds without a new group after which the first process takes over the work of the others."""

SLOW = 10
"""So many times the slowest group is waited for, should that be longer."""


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
        items_sha256: Hash of the items.
        adapters: Folders of what the method adds to the model.
    """

    job: Job
    suite: Suite
    items: tuple[Item, ...]
    spec: Spec
    weights: Path
    method: type[Method]
    items_sha256: str
    adapters: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.job.out / self.spec.run_id[:16]

    def groups(self) -> list[range]:
        """The micro-batches."""
        return groups(len(self.items), self.spec.micro_batch)

    def missing(self, among: list[range] | None = None) -> list[range]:
        """The groups that are not done: a file is missing or damaged, or was made with others."""
        every = self.groups() if among is None else among
        return [group for group in every if not self.together(group) or not self.whole(group)]

    def whole(self, group: range) -> bool:
        """Whether all files of a group are whole."""
        note = cost_of(self, group)
        beside = 0 if note is None else note.beside
        return all(self.done(i, beside) for i in group)

    def together(self, group: range) -> bool:
        """Whether the files of a group were made in one batch of just these items.

        In a batch of another size the kernels of networks may round to other pictures.
        """
        note = cost_of(self, group)
        return note is not None and note.items == len(group)

    def done(self, number: int, beside: int = 0) -> bool:
        """Whether the file of an item is whole, and as many beside it."""
        return finished(self.folder, self.spec, self.items[number], beside)

    def beside(self, number: int) -> int:
        """How many pictures stand beside that of an item, as its group noted."""
        size = self.spec.micro_batch
        start = number // size * size
        note = cost_of(self, range(start, min(start + size, len(self.items))))
        return 0 if note is None else note.beside


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What making the pictures took, over all sittings.

    Attributes:
        timed: Pictures whose making was noted; all of them, as long as nobody removes notes.
        seconds: Sum over their groups.
        evaluations: Rows asked of networks for them.
        peak_bytes: Most memory of any group.
    """

    timed: int
    seconds: float
    evaluations: int
    peak_bytes: int

    @property
    def seconds_per_item(self) -> float:
        """What one picture took."""
        return self.seconds / max(self.timed, 1)

    @property
    def evaluations_per_item(self) -> float:
        """Rows asked of networks for one picture."""
        return self.evaluations / max(self.timed, 1)


def prepare(job: Job) -> Run:
    """Find everything that a job names; nothing is written yet.

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
    added = [locate_model(name) for name in method().adapters]
    items = suite.items(job.n)
    spec = Spec(
        suite=suite.name,
        suite_version=suite.version,
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
        sources_sha256=making(method),
        adapter_sha256="+".join(sha256 for _, sha256 in added),
    )
    return Run(
        job=job,
        suite=suite,
        items=items,
        spec=spec,
        weights=weights,
        method=method,
        items_sha256=digest(items),
        adapters=tuple(folder for folder, _ in added),
    )


def make(run: Run, share: Share | None = None, progress: Progress | None = None) -> None:
    """Write down what will be made, and make what is missing of this process's share of it.

    Raises:
        ComposeError: A scene, the model or the disk does not permit it.
    """
    about = {"spec": asdict(run.spec), "items": [item.to_json() for item in run.items]}
    _write_json(run.folder / f"run-{len(run.items)}.json", about)
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


def wait(run: Run, patience: float | None = None, progress: Progress | None = None) -> None:
    """Wait until other processes have made the rest; make it here when they stall.

    Args:
        run: The run.
        patience: Seconds without a new group; as long as such groups take by default.
        progress: Is told.

    Raises:
        ComposeError: As `make`.
    """
    rest = run.groups()
    last = time.monotonic()
    while rest:
        # Files are read only once the note says that they should be there.
        left = [group for group in rest if not run.together(group) or not run.whole(group)]
        last = time.monotonic() if len(left) < len(rest) else last
        rest = left
        if progress is not None:
            progress(len(run.items) - sum(map(len, rest)), len(run.items))
        most = patience if patience is not None else stalled_after(run)
        if rest and time.monotonic() - last > most:
            return make(run, Share(), progress)
        if rest:
            time.sleep(0.5)
    return None


def stalled_after(run: Run) -> float:
    """Seconds that a group of this run may take before its process counts as stalled."""
    known = [cost.seconds for group in run.groups() if (cost := cost_of(run, group)) is not None]
    return max(PATIENCE, SLOW * max(known, default=0.0))


def outcome(run: Run) -> Outcome:
    """What the pictures took, from what each group wrote down."""
    known = [cost for group in run.groups() if (cost := cost_of(run, group)) is not None]
    return Outcome(
        timed=sum(cost.items for cost in known),
        seconds=sum(cost.seconds for cost in known),
        evaluations=sum(cost.evaluations for cost in known),
        peak_bytes=max((cost.peak_bytes for cost in known), default=0),
    )


def cost_of(run: Run, group: range) -> Cost | None:
    """What a group noted of its making, if it did."""
    try:
        found: object = json.loads(_cost_path(run, group).read_text("utf-8"))
        return Cost.from_json(found)
    except (OSError, ValueError):  # killed before this note, or it is damaged
        return None


def _made(run: Run, missing: list[range], share: Share) -> Iterator[range]:
    """Make groups; yields each as soon as its files are written."""
    import torch

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
            made = draw(
                model,
                method,
                some,
                walk=walk,
                guidance=run.spec.guidance,
                device=device,
                max_batch=run.spec.max_batch,
                beside=run.suite.beside,
            )
            if not run.together(group):  # no note holds until all of these files are there
                _cost_path(run, group).unlink(missing_ok=True)
            keep = run.together(group)
            for item, picture, others in zip(some, made.pictures, made.beside, strict=True):
                if not (keep and run.done(item.number, len(others))):
                    write(run.folder, run.spec, item, picture, others)
            _write_json(_cost_path(run, group), asdict(made.cost))
            yield group
    finally:
        torch.set_num_threads(before)


def _cost_path(run: Run, group: range) -> Path:
    return run.folder / "cost" / f"{group.start:05d}.json"


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
