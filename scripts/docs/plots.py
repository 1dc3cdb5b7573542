"""Dot plots of values with their intervals, for light and for dark pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from svg import Svg

ROW, TOP, BOTTOM, LEFT, RIGHT, WIDTH = 30, 34, 40, 168, 78, 720


@dataclass(frozen=True)
class Ink:
    """Colours of one theme; marks stay apart for the usual kinds of colour blindness."""

    name: str
    text: str
    soft: str
    grid: str
    marks: tuple[str, ...]


LIGHT = Ink("light", "#262422", "#6f6a63", "#e4dfd6", ("#0072b2", "#d55e00", "#007a5a", "#9c4f82"))
DARK = Ink("dark", "#e6e3dd", "#a39d94", "#34363c", ("#56b4e9", "#f08c4b", "#3cc79a", "#d99bc4"))


@dataclass(frozen=True)
class Dot:
    """One row of a plot: a name, its value, and the interval around it if there is one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that span [low, high], about `count` of them.

    Steps are 1, 2, 2.5 or 5 times a power of ten (Heckbert 1990, "Nice numbers for graph labels").
    """
    span = high - low
    if span <= 0:
        span = abs(high) or 1.0
    raw = span / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def short(value: float, digits: int = 3) -> str:
    """A number with `digits` significant digits and no needless zeros after them."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:.{places}f}"


def tick_label(value: float, step: float) -> str:
    """A number with just the decimals that tell it from its neighbours."""
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, places) != round(step, places + 2):  # steps such as 0.25
        places += 1
    return f"{value:.{places}f}"


def dots(title: str, axis: str, rows: Sequence[Dot], ink: Ink, better: bool | None) -> str:
    """A dot for each row, from top to bottom, on one axis.

    Args:
        title: For readers who cannot see it.
        axis: What is measured, with its unit.
        rows: At least one.
        ink: The theme.
        better: Whether larger is better; `None` where neither is.
    """
    bounds = [v for r in rows for v in (r.value, r.low, r.high) if v is not None]
    marks = ticks(min(bounds), max(bounds))
    low, high = marks[0], marks[-1]
    height = TOP + ROW * len(rows) + BOTTOM
    page = Svg(WIDTH, height, title)

    def at(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    bottom = TOP + ROW * len(rows)
    for mark in marks:
        page.line(at(mark), TOP - 6, at(mark), bottom, stroke=ink.grid)
        label = tick_label(mark, marks[1] - marks[0])
        page.text(at(mark), bottom + 17, label, 12, fill=ink.soft, text_anchor="middle")
    arrow = {True: " (larger is better)", False: " (smaller is better)", None: ""}[better]
    page.text(LEFT, TOP - 15, axis, 13, fill=ink.text, font_weight="600")
    page.text(WIDTH - RIGHT, bottom + 35, arrow.strip(), 12, fill=ink.soft, text_anchor="end")
    for i, row in enumerate(rows):
        _row(page, row, TOP + ROW * (i + 0.5), at, ink.marks[i % len(ink.marks)], ink)
    return page.render()


def _row(
    page: Svg, row: Dot, y: float, at: Callable[[float], float], colour: str, ink: Ink
) -> None:
    page.text(LEFT - 14, y + 4.5, row.name, 13, fill=ink.text, text_anchor="end")
    if row.low is not None and row.high is not None:
        style = {"stroke": colour, "stroke_width": "2", "stroke_linecap": "round"}
        page.line(at(row.low), y, at(row.high), y, **style)
        for end in (row.low, row.high):
            page.line(at(end), y - 5, at(end), y + 5, **style)
    page.circle(at(row.value), y, 5.5, fill=colour)
    page.text(WIDTH - RIGHT + 14, y + 4.5, short(row.value), 13, fill=ink.text)
