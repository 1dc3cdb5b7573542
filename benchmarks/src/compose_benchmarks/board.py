"""Leaderboards: which records may stand in one ranking, and which differences mean something."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from compose_benchmarks.measure import ITEMS
from compose_benchmarks.record import Measured, Record, load
from compose_core.errors import ComposeError

__all__ = ["APART", "FEWEST", "Board", "Cell", "Column", "Row", "board", "boards", "read_results"]

APART = frozenset({"curves", "papers", "studies", "trials"})
"""Folders beside the results whose numbers are never ranked with them: those of other people, and
those of one method under changing settings."""

FEWEST = 20
"""With fewer samples nothing is said of differences."""


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
            `"worse"`; `"unknown"` when that cannot be said, because there are fewer than
            `FEWEST` samples or no interval; `"only"` when there is nobody to compare with.
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
        ComposeError: There are no records; or one cannot be read or is not of the items beside
            it, and is not to be skipped.
    """
    found: dict[str, list[Record]] = {}
    bad: list[str] = []
    pattern = f"{suite or '*'}/*.json"
    for path in sorted(folder.glob(pattern)):
        if path.name == ITEMS or path.parent.name in APART:
            continue
        try:
            one = load(path)
            _check_items(path, one)
        except ComposeError as error:
            if not skip_unreadable:
                raise ComposeError(
                    error.what,
                    got=error.got,
                    expected=error.expected,
                    remedy="publish it again, or go on without it by --skip-unreadable",
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


def _check_items(path: Path, one: Record) -> None:
    """Refuse a record beside the items of another run: publishing was killed, or a file copied."""
    items = path.with_name(ITEMS)
    try:
        found: object = json.loads(items.read_bytes()) if items.is_file() else None
    except (OSError, ValueError) as error:
        raise ComposeError(
            "the items of a suite cannot be read", got=f"{items}: {error}"
        ) from error
    written = found.get("sha256") if isinstance(found, dict) else None
    if items.is_file() and written != one.task.items_sha256:
        raise ComposeError(
            "a result is not of the items beside it",
            got=f"{path}: {one.task.items_sha256[:12]}, and {ITEMS} has {str(written)[:12]}",
        )


def boards(records: Sequence[Record], primary: str | None = None) -> list[Board]:
    """Rank records of one suite: those that cannot be compared stand in boards of their own.

    The newest version of the suite comes first, then the largest n, then the most methods.

    Raises:
        ComposeError: The ranking metric was not measured.
    """
    groups: list[list[Record]] = []
    for one in sorted(records, key=_order):
        fits = (g for g in groups if not any(differences(other, one) for other in g))
        group = next(fits, None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    groups.sort(key=lambda g: (-g[0].task.version, -g[0].task.n, -len(g), _order(g[0])))
    return [board(group, primary) for group in groups]


def _order(one: Record) -> tuple[int, int, str, str, str]:
    return (-one.task.version, -one.task.n, one.method.name, one.model.id, one.run_id)


def board(records: Sequence[Record], primary: str | None = None) -> Board:
    """Rank records of one suite.

    Args:
        records: At least one.
        primary: Id of the metric that ranks; the first of the first record by default.

    Raises:
        ComposeError: They are not comparable, see `differences`; or the metric that ranks was not
            measured.
    """
    for first, second in combinations(records, 2):
        _refuse(first, second, differences(first, second))
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


def differences(first: Record, second: Record) -> dict[str, tuple[Any, Any]]:
    """Why two records cannot be ranked together: what differs, by name, and both values.

    They need the same items, walked in the same way and scored by the same code. The weights of
    one model must be the same, while models, and the code of methods, may differ.
    """
    a, b = first, second
    pairs: dict[str, tuple[Any, Any]] = {
        "suite": (a.task.name, b.task.name),
        "version of the suite": (a.task.version, b.task.version),
        "n": (a.task.n, b.task.n),
        "items": (a.task.items_sha256[:12], b.task.items_sha256[:12]),
        "code of the scores": (a.code.scoring_sha256[:12], b.code.scoring_sha256[:12]),
    }
    for name in ("name", "steps", "guidance", "dtype"):
        label = "sampler" if name == "name" else name
        pairs[label] = (getattr(a.sampler, name), getattr(b.sampler, name))
    if a.model.id == b.model.id:
        pairs[f"weights of {a.model.id}"] = (a.model.sha256[:12], b.model.sha256[:12])
    for one in a.metrics:
        other = b.metric(one.id)
        for name in ("version", "n_reference", "params", "extractor", "n") if other else ():
            pairs[f"{one.id}: {name}"] = (getattr(one, name), getattr(other, name))
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _refuse(first: Record, other: Record, different: dict[str, tuple[Any, Any]]) -> None:
    if different:
        names = f"{first.method.name} and {other.method.name}"
        raise ComposeError(
            f"{names} cannot be ranked together on {first.task.name!r}",
            got="; ".join(f"{name}: {a} and {b}" for name, (a, b) in different.items()),
            expected=f"the same {', '.join(different)}",
            remedy="measure both again in the same way",
        )


def _columns(records: Sequence[Record], primary: str | None) -> list[Column]:
    known: dict[str, Measured] = {}
    for one in records:
        for metric in one.metrics:
            known.setdefault(metric.id, metric)
    if primary is not None and primary not in known:
        raise ComposeError(
            f"the metric that ranks {records[0].task.name!r} was not measured",
            got=", ".join(known),
            expected=primary,
            remedy="measure it again with `compose bench run`",
        )
    main = primary if primary is not None else next(iter(known))
    made = [
        Column(name, first.higher_is_better, first.unit, first.in_house, name == main)
        for name, first in known.items()
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
            standing = {True: "worse", False: "tied", None: "unknown"}[significant]
            cells[i] = Cell(metric.value, low, high, standing, p)
    return cells


def differ(first: Measured, second: Measured) -> tuple[bool | None, float | None]:
    """Whether two values differ significantly, and p where a paired test is possible.

    Values on the same items are compared by a paired bootstrap. Where a metric has no value for
    each item, the difference counts only when the intervals do not overlap. Nothing is said of
    fewer than `FEWEST` samples, nor where there is no interval.
    """
    if min(first.n, second.n) < FEWEST:
        return None, None
    if first.per_sample and second.per_sample and first.keys == second.keys:
        import torch

        from compose_metrics.intervals import paired_bootstrap

        a, b = (torch.tensor(m.per_sample, dtype=torch.float64) for m in (first, second))
        test = paired_bootstrap(a, b)
        return test.significant, test.p
    if first.interval is None or second.interval is None:
        return None, None
    apart = first.interval.low > second.interval.high or second.interval.low > first.interval.high
    return apart, None
