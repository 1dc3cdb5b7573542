"""What the penalty of `cgi` does, where a suite has records of it under several."""

from __future__ import annotations

from collections.abc import Iterator

from plots import DARK, LIGHT, Dot, dots
from records import Standing

from compose_benchmarks.board import Column

KAPPAS = {
    "cgi-kappa-50": "0.5",
    "cgi-kappa-70": "0.7",
    "cgi-kappa-85": "0.85",
    "cgi": "0.95",
    "multidiffusion": "1 and more",
}
"""Methods that differ in nothing but their penalty, from the least one on."""

LEAST = 3
SHOWN = ("seam", "fid@tiny-v1")
"""Metrics that are drawn beside the one that ranks."""


def columns(one: Standing) -> list[Column]:
    """What is drawn; nothing where too few penalties were measured."""
    if sum(row.record.method.name in KAPPAS for row in one.main.rows) < LEAST:
        return []
    first, *others = one.main.columns
    return [first, *(column for column in others if column.id in SHOWN)]


def figures(one: Standing) -> dict[str, str | bytes]:
    """A plot of each metric, for both themes."""
    found: dict[str, str | bytes] = {}
    for number, column in enumerate(columns(one)):
        cells = {row.record.method.name: row.cells.get(column.id) for row in one.main.rows}
        rows = [
            Dot(f"kappa = {kappa}", cell.value, cell.low, cell.high)
            for method, kappa in KAPPAS.items()
            if (cell := cells.get(method)) is not None
        ]
        title = f"{one.suite}: {column.id} under growing penalties, with intervals"
        for ink in (LIGHT, DARK):
            place = f"leaderboards/plots/{one.suite}-kappa-{number}-{ink.name}.svg"
            found[place] = dots(title, column.id, rows, ink, column.higher_is_better)
    return found


def section(one: Standing) -> Iterator[str]:
    """The plots."""
    drawn = columns(one)
    if not drawn:
        return
    yield "## The penalty on step sizes\n"
    yield (
        "`cgi` and nothing else changed but kappa; from 1 on no step size moves, which is "
        "MultiDiffusion.\n"
    )
    for number, column in enumerate(drawn):
        alt = f"{column.id} under growing penalties, with intervals"
        links = [
            f"![{alt}](plots/{one.suite}-kappa-{number}-{ink.name}.svg#only-{ink.name})"
            for ink in (LIGHT, DARK)
        ]
        yield '<div class="plot" markdown="1">\n\n' + "\n".join(links) + "\n\n</div>\n"
