"""What papers report, each table by itself: never ranked with what is measured here."""

from __future__ import annotations

import json
from html import escape
from itertools import groupby
from typing import Any

from tables import Cell, Head, table
from workspace import NOTE, ROOT

RECORDS = ROOT / "benchmarks" / "results" / "papers"

INTRO = """# Reported by papers

Numbers as the papers print them, under the papers' own protocols, models and data. They are here
to be looked up. They are not ranked with the [leaderboards](index.md), whose every row was
measured here and can be made again.
"""


def pages() -> dict[str, str]:
    """The page, and every record for download."""
    records = [json.loads(p.read_text("utf-8")) for p in sorted(RECORDS.glob("*.json"))]
    if not records:
        return {"leaderboards/papers.md": NOTE + INTRO + "\nNo record yet.\n"}
    parts = [NOTE + INTRO]
    for _, group in groupby(records, key=lambda record: record["paper"]["key"]):
        tables = list(group)
        parts.append(_paper(tables[0]["paper"]))
        parts += [_table(record) for record in tables]
    found = {"leaderboards/papers.md": "\n".join(parts)}
    for path in sorted(RECORDS.glob("*.json")):
        found[f"leaderboards/data/papers/{path.name}"] = path.read_text("utf-8")
    return found


def _paper(paper: dict[str, Any]) -> str:
    arxiv = paper.get("arxiv")
    number = f", arXiv {arxiv}" if arxiv else ""
    return f"## {paper['title']}\n\n{paper.get('venue', '')} ({paper['year']}){number}\n"


def _table(record: dict[str, Any]) -> str:
    name = record.get("id") or record["table"].lower().replace(" ", "-")
    settings = list(dict.fromkeys(k for row in record["rows"] for k in row.get("settings", {})))
    heads = [Head("as printed", numbers=False)]
    heads += [Head(escape(key), numbers=False) for key in settings]
    heads += [Head(_label(column), _note(column)) for column in record["columns"]]
    rows: list[list[Cell]] = []
    for row in record["rows"]:
        cells = [Cell(escape(row["name"]), row["name"], words=True)]
        for key in settings:
            words = row.get("settings", {}).get(key, "")
            cells.append(Cell(escape(words), words, words=True))
        for column, value in zip(record["columns"], row["values"], strict=True):
            cells.append(Cell(_shown(value, column, row), value))
        rows.append(cells)
    source = record["paper"]["key"]
    lines = [
        f'<div class="reported" markdown="1">\n\n### {record["table"]} {{: #{name} }}\n',
        f"{record['caption']}\n",
        table(heads, rows, f"{source}, {record['table']}"),
    ]
    if record.get("protocol"):
        lines.append(f"**Protocol.** {record['protocol']}\n")
    notes = [f"{row['name']}: {row['note']}" for row in record["rows"] if row.get("note")]
    if record.get("note"):
        notes.insert(0, record["note"])
    if notes:
        lines.append("**Notes.** " + " ".join(dict.fromkeys(notes)) + "\n")
    lines.append(f"[JSON](data/papers/{name}.json)\n\n</div>\n")
    return "\n".join(lines)


def _label(column: dict[str, Any]) -> str:
    arrow = {True: " ▲", False: " ▼"}.get(column.get("higher_is_better"), "")  # type: ignore[arg-type]
    return escape(column["name"]) + arrow


def _note(column: dict[str, Any]) -> str:
    return ", ".join(part for part in (column.get("group"), column.get("unit")) if part)


def _shown(value: float | None, column: dict[str, Any], row: dict[str, Any]) -> str:
    """As printed: with its decimals, or the very text where it is more than a number."""
    group = column.get("group")
    label = f"{group} / {column['name']}" if group else column["name"]
    printed = row.get("printed", {}).get(label)
    if printed:
        return escape(printed)
    if value is None:
        return "–"
    return f"{value:.{column['decimals']}f}" if "decimals" in column else str(value)
