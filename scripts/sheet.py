"""A page of pictures with captions: rows of tiles, set like a museum label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

PAPER, INK, SOFT = (250, 248, 244), (38, 36, 34), (128, 122, 114)
MARGIN, GAP, LABEL, HEADING = 40, 16, 26, 44


@dataclass(frozen=True)
class Tile:
    """A picture at its final size, and what stands under it."""

    picture: Image.Image
    caption: str


@dataclass(frozen=True)
class Row:
    """A heading, a line in small print beside it, and tiles from left to right."""

    title: str
    note: str
    tiles: Sequence[Tile]

    @property
    def height(self) -> int:
        """Pixels from the heading's top to the captions' bottom."""
        return HEADING + max(tile.picture.height for tile in self.tiles) + LABEL


def draw(rows: Sequence[Row]) -> Image.Image:
    """Lay rows out below one another."""
    wide = max(sum(t.picture.width + GAP for t in row.tiles) - GAP for row in rows)
    tall = sum(row.height + GAP for row in rows) - GAP
    page = Image.new("RGB", (wide + 2 * MARGIN, tall + 2 * MARGIN), PAPER)
    pen = ImageDraw.Draw(page)
    top = MARGIN
    for row in rows:
        _draw_row(page, pen, row, top)
        top += row.height + GAP
    return page


def _draw_row(page: Image.Image, pen: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    title = ImageFont.load_default(21)
    pen.text((MARGIN, top), row.title, INK, title)
    start = MARGIN + pen.textlength(row.title, title) + 14
    pen.text((start, top + 6), row.note, SOFT, ImageFont.load_default(14))
    left, below = MARGIN, top + HEADING
    for tile in row.tiles:
        page.paste(tile.picture, (left, below))
        place = (left, below + tile.picture.height + 6)
        pen.text(place, tile.caption, SOFT, ImageFont.load_default(13))
        left += tile.picture.width + GAP


def enlarge(picture: Image.Image, height: int) -> Image.Image:
    """Scale to a height; a soft filter, since small pictures are samples and not pixel art."""
    size = (round(picture.width * height / picture.height), height)
    return picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
