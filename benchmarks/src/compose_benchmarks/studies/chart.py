"""Figures of studies as pictures: curves with intervals, and grids of samples with headings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

__all__ = ["Curve", "Point", "curves", "grid", "stacked", "tile"]

PAPER, INK, SOFT, RULE = (250, 248, 244), (38, 36, 34), (111, 106, 99), (228, 223, 214)
COLORS = ((0, 114, 178), (213, 94, 0), (0, 122, 90), (156, 79, 130))
"""They stay apart for the usual kinds of colour blindness (Okabe and Ito, 2008)."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FINE = 3
"""Lines are drawn so many times larger, then made smaller, which smooths them."""


@dataclass(frozen=True)
class Point:
    """A value at `x`, and the interval around it if there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Curve:
    """Points in the order of `x`, joined by a line unless `joined` is false."""

    name: str
    points: Sequence[Point]
    color: int = 0
    joined: bool = True
    dashed: bool = False


def tile(picture: Tensor, size: int = 96) -> Image.Image:
    """A picture (3, H, W), uint8 or in [0, 1], at a height of `size` pixels."""
    if picture.is_floating_point():
        picture = (picture.clamp(0, 1) * 255).round()
    levels = np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy().astype(np.uint8))
    image = Image.fromarray(levels)
    return image.resize((round(image.width * size / image.height), size), Image.Resampling.BICUBIC)


def grid(
    rows: Sequence[Sequence[Image.Image | None]],
    heads: Sequence[str],
    names: Sequence[str] | None = None,
    *,
    gap: int = 6,
    after: Sequence[int] = (),
) -> Image.Image:
    """Tiles in rows, with a heading over each column and a name before each row.

    Args:
        rows: Tiles of one size; None leaves a place empty.
        heads: One for each column; several lines are allowed.
        names: One for each row.
        gap: Between tiles, in pixels.
        after: Columns behind which the gap is wide.
    """
    first = next(one for row in rows for one in row if one is not None)
    w, h = first.size
    font = ImageFont.load_default(13)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left = max((_width(pen, name, font) for name in names or ()), default=0)
    left = round(left) + (14 if left else 0)
    top = 18 * max((text.count("\n") + 1 for text in heads if text), default=0) + 6
    at = [left + i * (w + gap) + 3 * gap * sum(i > k for k in after) for i in range(len(heads))]
    page = Image.new("RGB", (at[-1] + w, top + len(rows) * (h + gap) - gap), PAPER)
    pen = ImageDraw.Draw(page)
    for x, text in zip(at, heads, strict=True):
        pen.multiline_text(
            (x + w / 2, top - 6), text, INK, font, anchor="md", align="center", spacing=3
        )
    for i, row in enumerate(rows):
        y = top + i * (h + gap)
        if names is not None:
            pen.multiline_text((left - 12, y + h / 2), names[i], INK, font, "rm", align="right")
        for x, one in zip(at, row, strict=True):
            if one is not None:
                page.paste(one, (x, y))
    return page


def stacked(parts: Sequence[Image.Image], margin: int = 24, gap: int = 28) -> Image.Image:
    """Parts of a figure below one another, on paper."""
    wide = max(one.width for one in parts) + 2 * margin
    tall = sum(one.height for one in parts) + gap * (len(parts) - 1) + 2 * margin
    page = Image.new("RGB", (wide, tall), PAPER)
    y = margin
    for one in parts:
        page.paste(one, (margin, y))
        y += one.height + gap
    return page


def curves(
    title: str,
    some: Sequence[Curve],
    marks: Sequence[tuple[float, str]],
    axis: str,
    size: tuple[int, int] = (560, 280),
    *,
    beside: Sequence[Curve] = (),
) -> Image.Image:
    """Curves over one axis.

    Args:
        title: What is measured.
        some: With at least one point in all.
        marks: Places on the horizontal axis, and what stands there.
        axis: What changes along it.
        size: In pixels.
        beside: Curves of another chart, which has the same range then.
    """
    every = [*some, *beside]
    bounds = [v for c in every for p in c.points for v in (p.y, p.low, p.high) if v is not None]
    levels = _ticks(min(bounds), max(bounds))
    ends = (min(x for x, _ in marks), max(x for x, _ in marks))
    margin = 0.06 * ((ends[1] - ends[0]) or 1.0)
    frame = _Frame(size, (ends[0] - margin, ends[1] + margin), (levels[0], levels[-1]))
    page = Image.new("RGB", (size[0] * _FINE, size[1] * _FINE), PAPER)
    pen = ImageDraw.Draw(page)
    small, plain = (ImageFont.load_default(n * _FINE) for n in (12, 13))
    pen.text((frame.left * _FINE, 2 * _FINE), title, INK, plain)
    for level in levels:
        y = frame.y(level)
        pen.line([(frame.left * _FINE, y), (frame.right * _FINE, y)], RULE, _FINE)
        pen.text((frame.left * _FINE - 8 * _FINE, y), f"{level:.4g}", SOFT, small, "rm")
    for x, text in marks:
        place = (frame.x(x), (frame.bottom + 8) * _FINE)
        pen.multiline_text(place, text, SOFT, small, "ma", align="center")
    pen.text(((frame.left + frame.right) / 2 * _FINE, size[1] * _FINE), axis, SOFT, small, "md")
    for one in some:
        _draw_curve(pen, one, frame)
    _legend(pen, some, frame, small)
    return page.resize(size, Image.Resampling.LANCZOS)


class _Frame:
    """Where values lie in a picture, in fine pixels."""

    def __init__(
        self, size: tuple[int, int], across: tuple[float, float], up: tuple[float, float]
    ) -> None:
        self.left, self.right, self.top, self.bottom = 58, size[0] - 6, 54, size[1] - 52
        self._across, self._up = across, up

    def x(self, value: float) -> float:
        low, high = self._across
        return (self.left + (self.right - self.left) * (value - low) / (high - low)) * _FINE

    def y(self, value: float) -> float:
        low, high = self._up
        return (self.bottom - (self.bottom - self.top) * (value - low) / (high - low)) * _FINE


def _draw_curve(pen: ImageDraw.ImageDraw, one: Curve, frame: _Frame) -> None:
    color, thick = COLORS[one.color % len(COLORS)], 2 * _FINE
    places = [(frame.x(p.x), frame.y(p.y)) for p in one.points]
    for a, b in zip(places, places[1:], strict=False) if one.joined else ():
        _line(pen, a, b, color, thick, one.dashed)
    for point, (x, y) in zip(one.points, places, strict=True):
        if point.low is not None and point.high is not None:
            low, high = frame.y(point.low), frame.y(point.high)
            pen.line([(x, low), (x, high)], color, _FINE)
            for end in (low, high):
                pen.line([(x - 3 * _FINE, end), (x + 3 * _FINE, end)], color, _FINE)
        r = 3.5 * _FINE
        pen.ellipse((x - r, y - r, x + r, y + r), PAPER if one.dashed else color, color, _FINE)


def _line(
    pen: ImageDraw.ImageDraw,
    a: tuple[float, float],
    b: tuple[float, float],
    color: tuple[int, int, int],
    thick: int,
    dashed: bool,
) -> None:
    if not dashed:
        pen.line([a, b], color, thick)
        return
    count = max(round(float(np.hypot(b[0] - a[0], b[1] - a[1])) / (5 * _FINE)), 1)
    xs, ys = np.linspace(a[0], b[0], count + 1), np.linspace(a[1], b[1], count + 1)
    for i in range(0, count, 2):
        pen.line([(xs[i], ys[i]), (xs[i + 1], ys[i + 1])], color, thick)


def _legend(pen: ImageDraw.ImageDraw, some: Sequence[Curve], frame: _Frame, font: Font) -> None:
    x, y = frame.left * _FINE, 34 * _FINE
    for one in some:
        color = COLORS[one.color % len(COLORS)]
        _line(pen, (x, y), (x + 22 * _FINE, y), color, 2 * _FINE, one.dashed)
        pen.text((x + 28 * _FINE, y), one.name, INK, font, "lm")
        x += 46 * _FINE + _width(pen, one.name, font)


def _width(pen: ImageDraw.ImageDraw, text: str, font: Font) -> float:
    return max(pen.textlength(line, font) for line in text.split("\n"))


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers that span [low, high]."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** np.floor(np.log10(span / 4))
    step = next(float(m * power) for m in (1, 2, 2.5, 5, 10) if m * power >= span / 4 * 0.999)
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    return [i * step for i in range(first, max(last, first + 1) + 1)]
