"""Boards as text: Markdown for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from compose_benchmarks.board import FEWEST, Board, Cell, Column

__all__ = ["FORMATS", "MARKS", "NOTE", "Format", "render", "shown", "to_csv", "walked"]

Format = Literal["md", "csv", "json"]
FORMATS: tuple[Format, ...] = ("md", "csv", "json")

NOTE = (
    "**best** of its column · ≈ not significantly different from it · ? cannot be said: "
    f"fewer than {FEWEST} pictures, or no interval · [95 % interval]. "
    "Methods are compared on the same seeds by a paired bootstrap at 5 %. Where a metric has no "
    "value for each picture, as FID and KID, two values differ when their intervals do not "
    "overlap, which is no test at 5 % but stricter; such intervals take the reference set as "
    "given. Nothing is corrected for the number of methods and columns."
)
"""What the marks of a board mean, wherever it is shown."""

MARKS = {"tied": " ≈", "unknown": " ?"}
"""What follows a value of that standing."""


def render(boards: Sequence[Board], format: Format) -> str:
    """Boards as one text."""
    if format == "json":
        return json.dumps([_plain(board) for board in boards], indent=1, ensure_ascii=False)
    if format == "csv":
        return to_csv(boards).rstrip("\n")
    return "\n\n".join(_markdown(board) for board in boards)


def shown(cell: Cell | None, bold: str = "**") -> str:
    """A cell as people read it."""
    if cell is None:
        return "–"
    text = _digits(cell.value)
    if cell.standing == "best":
        text = f"{bold}{text}{bold}"
    text += MARKS.get(cell.standing, "")
    if cell.low is None or cell.high is None:
        return text
    return f"{text} [{_digits(cell.low)}, {_digits(cell.high)}]"


def walked(board: Board) -> str:
    """How all pictures of a board were made: sampler, steps, guidance, precision."""
    how = board.rows[0].record.sampler
    return f"{how.name}, {how.steps} steps, guidance {how.guidance:g}, {how.dtype}"


def _digits(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def _heading(column: Column) -> str:
    unit = f" ({column.unit})" if column.unit else ""
    return f"{column.id}{unit} {'↑' if column.higher_is_better else '↓'}"


def _markdown(board: Board) -> str:
    heads = ["#", "method", "model", *map(_heading, board.columns), "s / picture", "NFE"]
    rows = [
        [
            str(row.rank),
            row.record.method.name,
            row.record.model.id,
            *(shown(row.cells.get(column.id)) for column in board.columns),
            f"{row.record.cost.seconds_per_item:.2f}",
            f"{row.record.cost.evaluations_per_item:.0f}",
        ]
        for row in board.rows
    ]
    quick = ", quick" if any(row.record.task.quick for row in board.rows) else ""
    lines = [
        f"### {board.suite} (version {board.version}, n = {board.n}{quick}, {walked(board)})",
        "",
        f"| {' | '.join(heads)} |",
        f"|{'|'.join(['---'] * len(heads))}|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        NOTE,
    ]
    return "\n".join(lines)


def to_csv(boards: Sequence[Board]) -> str:
    """One line for each number."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        "suite version n rank method model metric unit higher_is_better value low high standing p"
        " run_id command".split()
    )
    for board in boards:
        for row in board.rows:
            for column in board.columns:
                cell = row.cells.get(column.id)
                if cell is None:
                    continue
                about = [board.suite, board.version, board.n, row.rank, row.record.method.name]
                kind = [row.record.model.id, column.id, column.unit, column.higher_is_better]
                value = [cell.value, cell.low, cell.high, cell.standing, cell.p]
                writer.writerow([*about, *kind, *value, row.record.run_id, row.record.command])
    return stream.getvalue()


def _plain(board: Board) -> dict[str, Any]:
    return {
        "suite": board.suite,
        "version": board.version,
        "n": board.n,
        "columns": [asdict(column) for column in board.columns],
        "rows": [
            {
                "rank": row.rank,
                "method": row.record.method.name,
                "model": row.record.model.id,
                "run_id": row.record.run_id,
                "command": row.record.command,
                "seconds_per_item": row.record.cost.seconds_per_item,
                "evaluations_per_item": row.record.cost.evaluations_per_item,
                "cells": {name: asdict(cell) for name, cell in row.cells.items()},
            }
            for row in board.rows
        ],
    }
