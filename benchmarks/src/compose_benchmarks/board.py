"""Leaderboards: which records may stand in one ranking, and which differences mean something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compose_benchmarks.measure import ITEMS
from compose_benchmarks.record import Measured, Record, load
from compose_core.errors import ComposeError

__all__ = ["APART", "Board", "Cell", "Column", "Row", "board", "read_results"]

APART = frozenset({"papers"})
"""Folders beside the results that hold other people's numbers; they are never ranked with ours."""


@dataclass(frozen=True)
class Column:
    """One metric: its id, direction, unit, and whether it looks through a network of our own."""

    id: str
    higher_is_better: bool
    unit: str
    in_house: bool
    primary: bool


@dataclass(frozen=True)
class Cell:
    """One number.

    Attributes:
        value: the number.
        low: lower end of its interval, if it has one.
        high: upper end.
        standing: `"best"`; `"tied"` when the difference from the best is not significant;
            `"worse"`; `"only"` when there is nobody to compare with.
        p: of the paired comparison with the best, where both have values for each item.
    """

    value: float
    low: float | None
    high: float | None
    standing: str
    p: float | None = None


@dataclass(frozen=True)
class Row:
    """One method: its rank by the primary metric, its numbers, and its record."""

    rank: int
    record: Record
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Board:
    """One ranking."""

    suite: str
    version: int
    n: int
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def read_results(
    folder: Path, suite: str | None = None, *, skip_unreadable: bool = False
) -> tuple[dict[str, list[Record]], list[str]]:
    """All records of a folder of results, by suite, and what was skipped.

    Args:
        folder: With a folder for each suite.
        suite: Only this one.
        skip_unreadable: Go on without files that are no records.

    Raises:
        ComposeError: There are no records; or one cannot be read, and is not to be skipped.
    """
    found: dict[str, list[Record]] = {}
    bad: list[str] = []
    pattern = f"{suite or '*'}/*.json"
    for path in sorted(folder.glob(pattern)):
        if path.name == ITEMS or path.parent.name in APART:
            continue
        try:
            one = load(path)
        except ComposeError as error:
            if not skip_unreadable:
                raise ComposeError(
                    error.what,
                    got=error.got,
                    expected=error.expected,
                    remedy="measure it again, or go on without it by --skip-unreadable",
                ) from error
            bad.append(f"{error.what} ({error.got})")
        else:
            found.setdefault(one.task.name, []).append(one)
    if not found:
        raise ComposeError(
            "there are no results to compare",
            got=f"{folder}/{pattern}" + (f", {len(bad)} unreadable" if bad else ""),
            remedy=f"compose bench run {suite or 'SUITE'} --publish",
        )
    return found, bad


def board(records: Sequence[Record], primary: str | None = None) -> Board:
    """Rank records of one suite.

    Args:
        records: At least one.
        primary: Id of the metric that ranks; the first of the first record by default.

    Raises:
        ComposeError: They are not comparable: other items, numbers of pictures, versions,
            parameters or extractors.
    """
    _check(records)
    columns = _columns(records, primary)
    cells = {column.id: _standings(records, column) for column in columns}
    ranking = sorted(range(len(records)), key=_by(cells[columns[0].id], columns[0], records))
    rows = [
        Row(
            rank + 1,
            records[i],
            {name: some[i] for name, some in cells.items() if i in some},
        )
        for rank, i in enumerate(ranking)
    ]
    task = records[0].task
    return Board(task.name, task.version, task.n, tuple(columns), tuple(rows))


def _by(
    cells: dict[int, Cell], column: Column, records: Sequence[Record]
) -> Callable[[int], tuple[bool, float, str]]:
    sign = -1 if column.higher_is_better else 1

    def key(i: int) -> tuple[bool, float, str]:
        value = cells[i].value * sign if i in cells else 0.0
        return i not in cells, value, records[i].method.name

    return key


def _check(records: Sequence[Record]) -> None:
    first = records[0]
    for other in records[1:]:
        pairs: dict[str, tuple[Any, Any]] = {
            "suite": (first.task.name, other.task.name),
            "version of the suite": (first.task.version, other.task.version),
            "n": (first.task.n, other.task.n),
            "items": (first.task.items_sha256[:12], other.task.items_sha256[:12]),
            "code of the scores": (first.code.scoring_sha256[:12], other.code.scoring_sha256[:12]),
        }
        _refuse(first, other, pairs)


def _refuse(first: Record, other: Record, pairs: dict[str, tuple[Any, Any]]) -> None:
    different = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if different:
        names = f"{first.method.name} and {other.method.name}"
        raise ComposeError(
            f"{names} cannot be ranked together on {first.task.name!r}",
            got="; ".join(f"{name}: {a} and {b}" for name, (a, b) in different.items()),
            expected=f"the same {', '.join(different)}",
            remedy="measure both again in the same way",
        )


def _columns(records: Sequence[Record], primary: str | None) -> list[Column]:
    known: dict[str, tuple[Record, Measured]] = {}
    for one in records:
        for metric in one.metrics:
            owner, first = known.setdefault(metric.id, (one, metric))
            names = ("version", "n_reference", "params", "extractor", "n")
            pairs = {f"{metric.id}: {k}": (getattr(first, k), getattr(metric, k)) for k in names}
            _refuse(owner, one, pairs)
    main = primary if primary in known else next(iter(known))
    made = [
        Column(name, first.higher_is_better, first.unit, first.in_house, name == main)
        for name, (_, first) in known.items()
    ]
    return sorted(made, key=lambda column: (not column.primary, column.in_house))


def _standings(records: Sequence[Record], column: Column) -> dict[int, Cell]:
    """The cells of one column, each compared with the best."""
    found = {i: m for i, one in enumerate(records) if (m := one.metric(column.id)) is not None}
    sign = 1 if column.higher_is_better else -1
    top = max(found, key=lambda i: sign * found[i].value)
    cells: dict[int, Cell] = {}
    for i, metric in found.items():
        low, high = (
            (metric.interval.low, metric.interval.high) if metric.interval else (None, None)
        )
        if len(found) == 1:
            cells[i] = Cell(metric.value, low, high, "only")
        elif i == top:
            cells[i] = Cell(metric.value, low, high, "best")
        else:
            significant, p = differ(found[top], metric)
            standing = "worse" if significant else "tied"
            cells[i] = Cell(metric.value, low, high, standing, p)
    return cells


def differ(first: Measured, second: Measured) -> tuple[bool, float | None]:
    """Whether two values differ significantly, and p where a paired test is possible.

    Values on the same items are compared by a paired bootstrap. Where a metric has no value for
    each item, the difference counts only when the intervals do not overlap, which is stricter.
    """
    if first.per_sample and second.per_sample and first.keys == second.keys:
        import torch

        from compose_metrics.intervals import paired_bootstrap

        a, b = (torch.tensor(m.per_sample, dtype=torch.float64) for m in (first, second))
        test = paired_bootstrap(a, b)
        return test.significant, test.p
    if first.interval is None or second.interval is None:
        return False, None
    apart = first.interval.low > second.interval.high or second.interval.low > first.interval.high
    return apart, None
