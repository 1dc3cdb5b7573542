"""Two metrics of several methods at once, with the intervals of both, for either theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plots import Ink, tick_label, ticks
from svg import Svg

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 430, 74, 150, 40, 58


@dataclass(frozen=True)
class Spread:
    """A value and the interval around it, if there is one."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def bounds(self) -> list[float]:
        """What must be seen of it."""
        return [v for v in (self.value, self.low, self.high) if v is not None]


@dataclass(frozen=True)
class Spot:
    """A method: its name and both values."""

    name: str
    x: Spread
    y: Spread


@dataclass(frozen=True)
class Axis:
    """What is measured along an axis, and whether larger is better."""

    label: str
    better: bool


class _Scale:
    def __init__(self, values: Sequence[Spread], start: float, end: float) -> None:
        seen = [v for one in values for v in one.bounds]
        self.marks = ticks(min(seen), max(seen))
        self.start, self.end = start, end

    def at(self, value: float) -> float:
        low, high = self.marks[0], self.marks[-1]
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    def label(self, mark: float) -> str:
        return tick_label(mark, self.marks[1] - self.marks[0])


def scatter(title: str, x: Axis, y: Axis, spots: Sequence[Spot], ink: Ink) -> str:
    """A spot for each method; the better corner is marked.

    Args:
        title: For readers who cannot see it.
        x: The horizontal axis.
        y: The vertical one.
        spots: At least one.
        ink: The theme.
    """
    page = Svg(WIDTH, HEIGHT, title)
    across = _Scale([s.x for s in spots], LEFT, WIDTH - RIGHT)
    down = _Scale([s.y for s in spots], HEIGHT - BOTTOM, TOP)
    for mark in across.marks:
        page.line(across.at(mark), TOP, across.at(mark), HEIGHT - BOTTOM, stroke=ink.grid)
        place = (across.at(mark), HEIGHT - BOTTOM + 18)
        page.text(*place, across.label(mark), 12, fill=ink.soft, text_anchor="middle")
    for mark in down.marks:
        page.line(LEFT, down.at(mark), WIDTH - RIGHT, down.at(mark), stroke=ink.grid)
        place = (LEFT - 10, down.at(mark) + 4)
        page.text(*place, down.label(mark), 12, fill=ink.soft, text_anchor="end")
    page.text(LEFT, TOP - 16, f"{y.label} {_way(y)}", 13, fill=ink.text, font_weight="600")
    page.text(
        WIDTH - RIGHT, HEIGHT - 12, f"{x.label} {_way(x)}", 13,
        fill=ink.text, font_weight="600", text_anchor="end",
    )  # fmt: skip
    corner = (across.end if x.better else across.start, down.end if y.better else down.start)
    sides = ("end" if x.better else "start", 16 if y.better else -8)
    inset = -6 if x.better else 6
    page.text(
        corner[0] + inset, corner[1] + sides[1], "better", 12, fill=ink.soft, text_anchor=sides[0]
    )
    for number, spot in enumerate(spots):
        _spot(page, spot, across, down, ink.marks[number % len(ink.marks)])
    for number, (name, y_at) in enumerate(_apart(spots, down)):
        colour = ink.marks[number % len(ink.marks)]
        page.circle(WIDTH - RIGHT + 14, y_at, 4.5, fill=colour)
        page.text(WIDTH - RIGHT + 24, y_at + 4.5, name, 13, fill=ink.text)
    return page.render()


def _way(axis: Axis) -> str:
    return "▲" if axis.better else "▼"


def _spot(page: Svg, spot: Spot, across: _Scale, down: _Scale, colour: str) -> None:
    x, y = across.at(spot.x.value), down.at(spot.y.value)
    style = {"stroke": colour, "stroke_width": "1.5", "stroke_linecap": "round"}
    if spot.x.low is not None and spot.x.high is not None:
        page.line(across.at(spot.x.low), y, across.at(spot.x.high), y, **style)
    if spot.y.low is not None and spot.y.high is not None:
        page.line(x, down.at(spot.y.low), x, down.at(spot.y.high), **style)
    page.circle(x, y, 6, fill=colour)


def _apart(spots: Sequence[Spot], down: _Scale, gap: float = 22) -> list[tuple[str, float]]:
    """A key beside the plot, in the order of the spots."""
    top = down.end + 8
    return [(spot.name, top + gap * number) for number, spot in enumerate(spots)]
