"""Sortable tables in HTML: what is shown, and the number that it is sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        html: What is shown, already escaped.
        value: What it is sorted by; text is sorted as text.
        best: Whether to bring it out.
        words: Whether it is text, set to the left.
    """

    html: str
    value: float | str | None = None
    best: bool = False
    words: bool = False

    def render(self) -> str:
        """`<td>...</td>`."""
        kinds = [name for name in ("best", "words") if getattr(self, name)]
        style = f' class="{" ".join(kinds)}"' if kinds else ""
        value = self.value
        key = f' data-sort="{value!r}"' if isinstance(value, float | int) else ""
        key = f' data-sort="{escape(value)}"' if isinstance(value, str) else key
        if value is None and not self.words:  # an empty cell sorts below every number
            key = ' data-sort="-1e308"'
        return f"<td{style}{key}>{self.html}</td>"


@dataclass(frozen=True)
class Head:
    """A column's heading: its name, a line in small print, and how it is sorted."""

    name: str
    note: str = ""
    numbers: bool = True
    first: bool = False

    def render(self) -> str:
        """`<th>...</th>`."""
        note = f'<span class="unit">{escape(self.note)}</span>' if self.note else ""
        method = ' data-sort-method="number"' if self.numbers else ""
        default = " data-sort-default" if self.first else ""
        style = "" if self.numbers else ' class="words"'
        return f'<th{style}{method}{default}><span class="name">{self.name}</span>{note}</th>'


def table(heads: Sequence[Head], rows: Sequence[Sequence[Cell]], caption: str) -> str:
    """A table of class `ranking`, which scrolls by itself; it holds no blank line.

    Args:
        heads: One for each column.
        rows: From top to bottom, as they stand before anybody sorts.
        caption: For readers who cannot see it.
    """
    lines = ['<div class="board">', f'<table class="ranking" aria-label="{escape(caption)}">']
    lines += ["<thead><tr>", *(head.render() for head in heads), "</tr></thead>", "<tbody>"]
    for row in rows:
        lines += ["<tr>", *(cell.render() for cell in row), "</tr>"]
    return "\n".join([*lines, "</tbody>", "</table>", "</div>"]) + "\n"
