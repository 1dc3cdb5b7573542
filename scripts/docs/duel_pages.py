"""What metrics say together, for the page of a suite: trade-offs, and picture by picture."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from plots import DARK, LIGHT, short
from records import Standing, name
from scatter import Axis, Spot, Spread, scatter
from tables import Cell, Head, table

from compose_benchmarks.board import Board, Column
from compose_benchmarks.duels import Duel, champion, duel

REALISM = "fid@tiny-v1"
SURE = 0.05


def tradeoff(one: Standing) -> tuple[Column, Column] | None:
    """The ranking metric and that of realism, where both are on a board of several methods."""
    columns = {column.id: column for column in one.main.columns}
    primary = one.main.columns[0]
    if REALISM not in columns or primary.id == REALISM or len(one.main.rows) < 3:
        return None
    return primary, columns[REALISM]


def figures(one: Standing) -> dict[str, str | bytes]:
    """The plot of the trade-off, for both themes."""
    pair = tradeoff(one)
    if pair is None:
        return {}
    y, x = pair
    spots: list[Spot] = []
    for row in one.main.rows:
        if x.id in row.cells and y.id in row.cells:
            sides = (Spread(c.value, c.low, c.high) for c in (row.cells[x.id], row.cells[y.id]))
            spots.append(Spot(name(row.record), *sides))
    axes = (Axis(x.id, x.higher_is_better), Axis(y.id, y.higher_is_better))
    title = f"{one.suite}: {y.id} against {x.id}, with intervals"
    return {
        f"leaderboards/plots/{one.suite}-both-{ink.name}.svg": scatter(title, *axes, spots, ink)
        for ink in (LIGHT, DARK)
    }


def section(one: Standing) -> Iterator[str]:
    """The plot, then the table of duels."""
    pair = tradeoff(one)
    if pair is not None:
        alt = f"{pair[0].id} against {pair[1].id} of each method, with intervals"
        links = [
            f"![{alt}](plots/{one.suite}-both-{ink.name}.svg#only-{ink.name})"
            for ink in (LIGHT, DARK)
        ]
        yield "## Both at once\n"
        yield '<div class="plot" markdown="1">\n\n' + "\n".join(links) + "\n\n</div>\n"
    yield from _duels(one.main)


def _duels(board: Board) -> Iterator[str]:
    hero = champion(board)
    metrics = [c.id for c in board.columns if duel(hero, hero, c.id) is not None]
    rivals = [row.record for row in board.rows if row.record is not hero]
    if not metrics or not rivals:
        return
    yield "## Picture by picture\n"
    yield (
        f"Of the scenes on which `{name(hero)}` and another method differ, the share on which it "
        "does better, by each metric that has a value for every picture; in brackets, how many "
        f"scenes decide. Bold where a coin would hardly give as much (sign test, p < {SURE}).\n"
    )
    heads = [Head(f"{escape(name(hero))} against", numbers=False)]
    heads += [Head(escape(metric)) for metric in metrics]
    rows: list[list[Cell]] = []
    for rival in rivals:
        found = [duel(hero, rival, metric) for metric in metrics]
        label = escape(name(rival))
        rows.append([Cell(label, name(rival), words=True), *map(_cell, found)])
    yield table(heads, rows, "Scenes on which one method does better")


def _cell(one: Duel | None) -> Cell:
    if one is None:
        return Cell("–")
    text = f"{short(one.share)} ({one.won + one.lost})"
    span = one.interval
    if span is not None:
        text += f'<span class="interval">{short(span.low)} to {short(span.high)}</span>'
    if one.p < SURE:
        text = f"<strong>{text}</strong>"
    return Cell(text, one.share)
