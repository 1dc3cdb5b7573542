"""Ask every question of a tree at once: one batched network call for each group of like ones.

A composition of denoisers is a tree. It asks one tree of questions, whose leaves are `Query`s, and
gets back a tree of the same shape, so nobody has to count how many questions a part asked. An
evaluator sees all leaves together. Those that a network can answer in one call (same network,
level, shape, dtype and kinds of conditions) are laid end to end in one batch: classifier-free
guidance x windows x regions is one call. Identical questions (the same tensor and the same
`Encoded`, by identity) are asked once.

Results do not depend on how a batch is split, beyond the rounding of the network's own kernels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeAlias, final

import torch
from torch import Tensor

from compose_core.encoded import Encoded
from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_core.prediction import Prediction
from compose_core.schedule import Level


class Processes(Protocol):
    """What is needed of accelerate's `Accelerator` or `PartialState`."""

    @property
    def num_processes(self) -> int:
        """How many processes run the program."""
        ...

    @property
    def process_index(self) -> int:
        """Which of them this is, from 0."""
        ...


class Query(NamedTuple):
    """One question: what does `network` make of `x_t` at `level` under `encoded`?

    Attributes:
        network: A `compose_core.denoiser.Network`; here only its call and its identity matter.
        x_t: Noisy samples `(B, C, *spatial)`, in the asker's schedule.
        level: Their noise level, of shape `()` or `(B,)`.
        encoded: Conditions of batch 1 or `B`. They are not expanded by the asker, because two
            questions are known to be identical by holding the same objects.
    """

    network: Callable[[Tensor, Level, Encoded], Prediction]
    x_t: Tensor
    level: Level
    encoded: Encoded


Questions: TypeAlias = Query | tuple["Questions", ...]
"""A nested tuple whose leaves are queries."""

Answers: TypeAlias = Prediction | tuple["Answers", ...]
"""The same tree, with a prediction for each query."""


def leaves(questions: Questions) -> Iterator[Query]:
    """The queries of a tree, from left to right."""
    if isinstance(questions, Query):  # a Query is itself a tuple: ask for it first
        yield questions
    else:
        for branch in questions:
            yield from leaves(branch)


class Evaluator(ABC):
    """Answers trees of questions. Calling it is pure: it keeps nothing between calls."""

    def __call__(self, questions: Questions) -> Answers:
        """The answers, in a tree of the shape of `questions`.

        Raises:
            ShapeError: Conditions do not fit their batch, or a network returned an `x0` whose
                shape is not that of its `x_t`.
        """
        asked: dict[tuple[int, ...], Query] = {}
        for query in leaves(questions):
            asked.setdefault(_identity(query), query)
        answered: dict[tuple[int, ...], Prediction] = {}
        for group in _groups(list(asked.values())):
            for query, x0 in zip(group, self._answer(group), strict=True):
                answered[_identity(query)] = Prediction(query.x_t, query.level, x0)
        return _fill(questions, answered)

    @abstractmethod
    def _answer(self, group: list[Query]) -> list[Tensor]:
        """The `x0` of each query of a group that fits in one call."""


@final
class Local(Evaluator):
    """Answers in this process.

    Args:
        max_batch: The most rows of one network call; `None` for no limit. Lower it when memory
            runs out: the results stay.
    """

    def __init__(self, max_batch: int | None = None) -> None:
        self.max_batch = _positive(max_batch)

    def _answer(self, group: list[Query]) -> list[Tensor]:
        batch = _Batch(group)
        return batch.split(batch.predict(0, batch.rows, self.max_batch))


@final
class Distributed(Evaluator):
    """Shares the rows of every group between the processes of an accelerate run.

    Every process asks the same questions in the same order (same seed, same program), answers its
    own contiguous share of the rows, and receives the answers of the others; so every process goes
    on with the same predictions. Gradients do not cross processes. Where a network fails, all
    processes raise: the one its own error, the others a `ComposeError` that names it.

    Args:
        accelerator: The `Accelerator` or `PartialState` of the run; by default the current state,
            which is one process when nothing was launched.
        max_batch: The most rows of one network call, in each process.
    """

    def __init__(self, accelerator: Processes | None = None, max_batch: int | None = None) -> None:
        accelerate: Any = import_module("accelerate")  # heavy: only for those who use it
        processes: Processes = accelerator or accelerate.PartialState()
        self.count = processes.num_processes
        self.index = processes.process_index
        self.max_batch = _positive(max_batch)

    def _answer(self, group: list[Query]) -> list[Tensor]:
        batch = _Batch(group)
        if self.count == 1:
            return batch.split(batch.predict(0, batch.rows, self.max_batch))
        share = -(-batch.rows // self.count)
        start, stop = (min(n * share, batch.rows) for n in (self.index, self.index + 1))
        # The last row says whether this process failed: the others would wait for it in vain.
        mine = group[0].x_t.new_zeros((share + 1, *group[0].x_t.shape[1:]))
        failure = None
        try:
            if start < stop:  # with fewer rows than processes, the last have nothing to answer
                mine[: stop - start] = batch.predict(start, stop, self.max_batch).detach()
        except Exception as error:  # noqa: BLE001 - raised again when the others know
            failure = error
            mine[share] = 1
        utilities: Any = import_module("accelerate.utils")
        everyone: Tensor = utilities.gather(mine).unflatten(0, (self.count, share + 1))
        failed = [str(i) for i, row in enumerate(everyone[:, share]) if bool(row.any())]
        if failure is not None:
            raise failure
        if failed:
            raise ComposeError(
                "another process of this run failed",
                got=f"process {', '.join(failed)} of {self.count}",
                remedy="see the error of that process",
            )
        return batch.split(everyone[:, :share].flatten(0, 1)[: batch.rows])


@dataclass(frozen=True)
class _Batch:
    """Queries of one group, laid end to end; rows are taken without building the whole."""

    group: list[Query]

    @property
    def rows(self) -> int:
        return sum(query.x_t.shape[0] for query in self.group)

    def predict(self, start: int, stop: int, max_batch: int | None) -> Tensor:
        """`x0` of the rows from `start` up to `stop`, in calls of at most `max_batch` rows."""
        size = max_batch or stop - start
        bounds = [(row, min(row + size, stop)) for row in range(start, stop, size)]
        return _cat([self._call(first, last) for first, last in bounds])

    def split(self, x0: Tensor) -> list[Tensor]:
        """The rows of all queries, cut into those of each."""
        return list(torch.split(x0, [query.x_t.shape[0] for query in self.group]))

    def _call(self, start: int, stop: int) -> Tensor:
        x_t: list[Tensor] = []
        encoded: list[Encoded] = []
        levels: list[Level] = []
        offset = 0
        for query in self.group:
            batch = query.x_t.shape[0]
            rows = slice(max(start - offset, 0), max(min(stop - offset, batch), 0))
            offset += batch
            if rows.start >= rows.stop:
                continue
            whole = rows == slice(0, batch)
            condition = query.encoded.expand(batch)
            x_t.append(query.x_t if whole else query.x_t[rows])
            encoded.append(condition if whole else condition.select(rows))
            levels.append(query.level if whole else _rows_of(query.level, rows, batch))
        x = _cat(x_t)
        if levels[0].shape and len(levels) > 1:
            pairs = zip(levels, x_t, strict=True)
            levels = [Level.cat([level.expand(part.shape[0]) for level, part in pairs])]
        x0 = self.group[0].network(x, levels[0], Encoded.cat(encoded)).x0
        if x0.shape != x.shape:
            raise ShapeError(
                "a network must predict an x0 of the shape of its x_t",
                got=tuple(x0.shape),
                expected=tuple(x.shape),
                remedy=f"check {type(self.group[0].network).__name__}.forward",
            )
        return x0.to(x.dtype)


def _groups(queries: list[Query]) -> list[list[Query]]:
    """Queries that can share a call, in the order in which they were first asked."""
    levels = {id(query.level): _key(query.level) for query in queries}  # one read per level
    found: dict[object, list[Query]] = {}
    for query in queries:
        x_t = query.x_t
        key = (
            id(query.network),
            tuple(x_t.shape[1:]),
            x_t.dtype,
            x_t.device,
            query.encoded.signature(),
            levels[id(query.level)],
        )
        found.setdefault(key, []).append(query)
    return list(found.values())


def _identity(query: Query) -> tuple[int, ...]:
    return tuple(id(part) for part in query)


def _key(level: Level) -> object:
    """A level shared by the batch by its values; per-sample levels can always be joined."""
    if not level.shape:
        return float(level.alpha), float(level.sigma), float(level.t)
    return "one per sample"


def _rows_of(level: Level, rows: slice, batch: int) -> Level:
    if not level.shape:
        return level
    every = level.expand(batch)
    return Level(every.alpha[rows], every.sigma[rows], every.t[rows])


def _cat(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _fill(questions: Questions, answered: dict[tuple[int, ...], Prediction]) -> Answers:
    if isinstance(questions, Query):
        return answered[_identity(questions)]
    return tuple(_fill(branch, answered) for branch in questions)


def _positive(max_batch: int | None) -> int | None:
    if max_batch is not None and max_batch < 1:
        raise UsageError(
            "max_batch counts rows of a network call",
            got=max_batch,
            expected="a positive number, or None for no limit",
        )
    return max_batch
