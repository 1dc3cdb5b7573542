"""Leaderboards, from result records: a table, a plot, pictures, downloads for each suite."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import duel_pages
import sweep_pages
import trial_pages
from plots import DARK, LIGHT, Dot, dots, short
from records import RESULTS, Standing, name, standings, strip_name
from tables import Cell, Head, table
from workspace import DOCS, NOTE

from compose_benchmarks.board import Board, Column, Row
from compose_benchmarks.board import Cell as Number
from compose_benchmarks.measure import STRIP
from compose_benchmarks.table import MARKS, to_csv, walked
from compose_benchmarks.table import NOTE as MEANING

INTRO = """# Leaderboards

Every row was measured here and can be made again by the command under its name: scenes, layouts,
seeds and prompts are written out by the suite, weights are pinned by their hash.

"""
INTRO += MEANING + "\n"
TINY = """
Metrics whose name ends in `@tiny-v1` look through small networks of the [zoo](../zoo/index.md).
They rank methods on this world; they are not the metric of the same name in the literature, and
never share a table with it.
"""
METHODS = tuple(path.stem for path in sorted((DOCS / "methods").glob("[!i]*.md")))
"""Methods that have a page, which shows their results."""
WIDE = "---\nhide: [toc]\n---\n\n" + NOTE
EMPTY = "\nNo record yet. `compose bench run SUITE --publish` writes one.\n"
PAPERS = "\nWhat [papers report](papers.md) stands apart and is never ranked with this.\n"


def pages(folder: Path = RESULTS) -> dict[str, str | bytes]:
    """The index, and page, plots and downloads of each suite."""
    found_standings = standings(folder)
    results = {
        f"fragments/results/{method}.md": _results(method, found_standings) for method in METHODS
    }
    trials = trial_pages.section(folder)
    if not found_standings:
        return {"leaderboards/index.md": WIDE + INTRO + EMPTY + trials + PAPERS, **results}
    index = WIDE + INTRO + _index(found_standings) + TINY + trials + PAPERS
    found: dict[str, str | bytes] = {"leaderboards/index.md": index, **results}
    for one in found_standings:
        found[f"leaderboards/{one.suite}.md"] = WIDE + "\n".join(_suite(one))
        found |= _plots(one)
        found |= duel_pages.figures(one)
        found |= sweep_pages.figures(one)
        found |= _downloads(one)
        for row in one.main.rows:
            strip = one.strip(row.record)
            if strip is not None:
                place = f"leaderboards/strips/{one.suite}/{strip_name(row.record)}"
                found[place] = strip.read_bytes()
    return found


def nav(folder: Path = RESULTS) -> list[object]:
    """The leaderboards' part of the navigation."""
    suites: list[object] = [{s.suite: f"leaderboards/{s.suite}.md"} for s in standings(folder)]
    papers = {"Reported by papers": "leaderboards/papers.md"}
    return ["leaderboards/index.md", *suites, *trial_pages.nav(folder), papers]


def _index(found: Sequence[Standing]) -> str:
    words = ("suite", "what it asks", "metric", "first")
    heads = [*(Head(word, numbers=False) for word in words), Head("value"), Head("n")]
    rows: list[list[Cell]] = []
    for one in found:
        board = one.main
        first, column = board.rows[0], board.columns[0]
        level = [name(row.record) for row in board.rows[1:] if _standing(row, column) == "tied"]
        leaders = ", ".join([name(first.record), *level])
        link = f'<a href="{one.suite}/">{escape(one.suite)}</a>'
        rows.append(
            [
                Cell(link, one.suite, words=True),
                Cell(escape(one.summary), one.summary, words=True),
                Cell(f"<code>{escape(column.id)}</code>", column.id, words=True),
                Cell(escape(leaders), leaders, words=True),
                _number(first.cells.get(column.id)),
                Cell(str(board.n), board.n),
            ]
        )
    return "\n" + table(heads, rows, "All suites, with the first of each")


def _results(method: str, found: Sequence[Standing]) -> str:
    """The ranking metric of one method on every suite, for its page; a fragment."""
    heads = [Head("suite", numbers=False), Head("metric", numbers=False), Head("value")]
    heads += [Head("first", "of the suite"), Head("rank"), Head("n")]
    rows: list[list[Cell]] = []
    for one in found:
        board, column = one.main, one.main.columns[0]
        for row in board.rows:
            if row.record.method.name != method:
                continue
            link = f'<a href="../../leaderboards/{one.suite}/">{escape(one.suite)}</a>'
            first = board.rows[0].cells.get(column.id)
            rows.append(
                [
                    Cell(link, one.suite, words=True),
                    Cell(f"<code>{escape(column.id)}</code>", column.id, words=True),
                    _number(row.cells.get(column.id)),
                    _number(first),
                    Cell(f"{row.rank} of {len(board.rows)}", row.rank),
                    Cell(str(board.n), board.n),
                ]
            )
    if not rows:
        return "No record yet: see the [leaderboards](../leaderboards/index.md).\n"
    return table(heads, rows, f"Results of {method}")


def _standing(row: Row, column: Column) -> str:
    cell = row.cells.get(column.id)
    return cell.standing if cell is not None else ""


def _suite(one: Standing) -> Iterator[str]:
    board = one.main
    primary = board.columns[0]
    summary = f"{one.summary[:1].upper()}{one.summary[1:]}.\n\n" if one.summary else ""
    yield f"# {one.suite}\n\n{summary}Ranked by `{primary.id}`, n = {board.n}, {walked(board)}.\n"
    yield _figure(one.suite, primary)
    for title, columns in _groups(board):
        if title:
            yield f"## {title}\n"
        yield _table(board, columns, f"{one.suite}: {title or 'results'}")
    yield from duel_pages.section(one)
    yield from sweep_pages.section(one)
    links = [f"[{kind.upper()}](data/{one.suite}.{kind})" for kind in ("json", "csv")]
    if one.items is not None:
        links.append(f"[every scene, prompt and seed](data/{one.suite}-items.json)")
    yield "Download: " + ", ".join(links) + ".\n"
    yield MEANING + "\n"
    if any(column.in_house for column in board.columns):
        yield TINY
    for other in one.boards[1:]:
        yield f"## Apart: n = {other.n}, version {other.version}, {walked(other)}\n"
        yield "Other items, settings, weights or scores cannot be ranked with those above.\n"
        for _, columns in _groups(other):
            yield _table(other, columns, f"{one.suite}: n = {other.n}")
    yield from _samples(one)
    yield "## How it was measured\n"
    for row in board.rows:
        yield from _setting(row)


def _groups(board: Board) -> list[tuple[str, list[Column]]]:
    """Reference networks and in-house ones never share a table."""
    own = [column for column in board.columns if column.in_house]
    others = [column for column in board.columns if not column.in_house]
    if not own or not others:
        return [("", own or others)]
    pair = [("Through networks of the zoo", own), ("Without a network of our own", others)]
    return pair if board.columns[0].in_house else pair[::-1]


def _table(board: Board, columns: Sequence[Column], caption: str) -> str:
    heads = [Head("method", numbers=False)]
    for column in columns:
        arrow = "▲" if column.higher_is_better else "▼"
        heads.append(Head(f"{escape(column.id)}&nbsp;{arrow}", column.unit))
    heads += [Head("n"), Head("seconds", "a picture"), Head("evaluations", "a picture")]
    rows: list[list[Cell]] = []
    for row in board.rows:
        record = row.record
        again = f'<span class="again"><code>{escape(record.command)}</code></span>'
        label = f"<strong>{escape(name(record))}</strong>{again}"
        cells = [Cell(label, name(record), words=True)]
        cells += [_number(row.cells.get(column.id)) for column in columns]
        cost = record.cost
        cells.append(Cell(str(board.n), board.n))
        cells.append(Cell(short(cost.seconds_per_item, 2), cost.seconds_per_item))
        cells.append(Cell(short(cost.evaluations_per_item), cost.evaluations_per_item))
        rows.append(cells)
    return table(heads, rows, caption)


def _number(cell: Number | None) -> Cell:
    if cell is None:
        return Cell("–")
    text = short(cell.value) + MARKS.get(cell.standing, "").replace(" ", "&nbsp;")
    if cell.low is not None and cell.high is not None:
        text += f'<span class="interval">{short(cell.low)} to {short(cell.high)}</span>'
    return Cell(text, cell.value, best=cell.standing == "best")


def _figure(suite: str, column: Column) -> str:
    alt = f"{column.id} of each method, with intervals"
    each = [f"![{alt}](plots/{suite}-{ink.name}.svg#only-{ink.name})" for ink in (LIGHT, DARK)]
    return '<div class="plot" markdown="1">\n\n' + "\n".join(each) + "\n\n</div>\n"


def _plots(one: Standing) -> dict[str, str | bytes]:
    board, column = one.main, one.main.columns[0]
    rows: list[Dot] = []
    for row in board.rows:
        cell = row.cells.get(column.id)
        if cell is not None:
            rows.append(Dot(name(row.record), cell.value, cell.low, cell.high))
    axis = f"{column.id}{f', {column.unit}' if column.unit else ''}, n = {board.n}"
    return {
        f"leaderboards/plots/{one.suite}-{ink.name}.svg": dots(
            f"{one.suite}: {axis}", axis, rows, ink, column.higher_is_better
        )
        for ink in (LIGHT, DARK)
    }


def _samples(one: Standing) -> Iterator[str]:
    """The first pictures of every method, side by side: cut from its strip by the style sheet."""
    rows = [row.record for row in one.main.rows if one.strip(row.record) is not None]
    if not rows or one.items is None:
        return
    items = json.loads(one.items.read_text("utf-8"))["items"][:STRIP]
    yield "## Pictures\n\nThe same scenes and seeds, not chosen: the first of the suite.\n"
    width, height = items[0]["scene"].get("canvas", (1, 1))
    if width > height:
        yield f'<div class="pictures pairs wide" style="--shape: {width / height:g}">'
    else:
        yield '<div class="pictures pairs">'
    for number, item in enumerate(items):
        words = escape(item["scene"]["prompt"])
        yield '<figure><div class="pair">'
        for record in rows:
            label, file = escape(name(record)), strip_name(record)
            place = f"background-image: url(../strips/{one.suite}/{file}); --at: {number}"
            yield f'<span class="tile" role="img" aria-label="{label}: {words}" style="{place}">'
            yield f"</span><small>{label}</small>"
        yield f"</div><figcaption>{words}</figcaption></figure>"
    yield "</div>\n"


def _setting(row: Row) -> Iterator[str]:
    """Everything in the record but the numbers, folded away."""
    shown = json.loads(row.record.model_dump_json(exclude={"metrics"}))
    yield f'??? note "{name(row.record)}"\n\n    ```json'
    text = json.dumps(_cut(shown), indent=2, ensure_ascii=False)
    yield from (f"    {line}" for line in text.splitlines())
    yield "    ```\n"


def _cut(value: Any) -> Any:
    """Long lists are cut: the whole record is in the download."""
    if isinstance(value, dict):
        return {key: _cut(inside) for key, inside in value.items()}
    if isinstance(value, list) and len(value) > 6:
        return [*value[:3], f"... {len(value) - 3} more"]
    return value


def _downloads(one: Standing) -> dict[str, str | bytes]:
    records = [row.record for board in one.boards for row in board.rows]
    whole = [json.loads(record.model_dump_json()) for record in records]
    base = f"leaderboards/data/{one.suite}"
    found: dict[str, str | bytes] = {
        f"{base}.json": json.dumps(whole, ensure_ascii=False) + "\n",
        f"{base}.csv": to_csv(one.boards),
    }
    if one.items is not None:
        found[f"{base}-items.json"] = one.items.read_text("utf-8")
    return found
