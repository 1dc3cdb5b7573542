"""Lay composed pictures out on one sheet, beside the scenes that describe them.

Usage: ``python scripts/contact_sheet.py FOLDER SCENE...``

For every scene ``name.toml`` there is a picture ``FOLDER/name.png``, as ``compose run SCENE --out
FOLDER`` leaves it. The sheet is ``FOLDER/contact-sheet.png``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from compose_core.scene import Scene, load_scene
from sheet import GAP, INK, Row, Tile, draw, enlarge
from world_panels import panels

TILE = 188
PER_ROW = 8
WIDTH = PER_ROW * (TILE + GAP) - GAP
STROKES = ((213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (90, 90, 90))


def main(folder: Path, scenes: Sequence[Path]) -> None:
    """Read the scenes and their pictures, and write the sheet."""
    square: list[Tile] = []
    wide: list[Tile] = []
    for path in scenes:
        scene = load_scene(path)
        with Image.open(folder / f"{path.stem}.png") as opened:
            picture = opened.convert("RGB")
        if scene.width > 2 * scene.height:
            fitted = min(TILE, (WIDTH - GAP) // 2 * picture.height // picture.width)
            closed = ", closed: its right edge meets its left one" if scene.wrap else ""
            wide.append(Tile(plan(scene, fitted), path.name))
            wide.append(Tile(enlarge(picture, fitted), scene.prompt + closed))
        else:
            square.append(Tile(plan(scene, TILE), path.name))
            square.append(Tile(enlarge(picture, TILE), _short(scene.prompt)))
    rows = [*_rows(square), *_panoramas(wide), _labels()]
    draw(rows).save(folder / "contact-sheet.png", optimize=True)
    print(folder / "contact-sheet.png")


def _rows(tiles: Sequence[Tile]) -> list[Row]:
    lines = [tiles[i : i + PER_ROW] for i in range(0, len(tiles), PER_ROW)]
    title, note = "Regions", "what a scene file says, and the picture composed from it"
    heads = [(title, note), *[("", "")] * len(lines)]
    return [Row(*head, line) for head, line in zip(heads, lines, strict=False)]


def _panoramas(tiles: Sequence[Tile]) -> list[Row]:
    note = "one canvas, many windows, agreed at every step"
    pairs = [tiles[i : i + 2] for i in range(0, len(tiles), 2)]
    heads = [("Panorama", note), *[("", "")] * len(pairs)]
    return [Row(*head, pair) for head, pair in zip(heads, pairs, strict=False)]


def _labels() -> Row:
    note = "a procedural scene and what is known about it exactly"
    return Row("Worlds", note, panels(TILE))


def _short(text: str, limit: int = 27) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def plan(scene: Scene, height: int) -> Image.Image:
    """Draw the region of each layer from back to front, with its prompt."""
    width = round(height * scene.width / scene.height)
    page = Image.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(page, "RGBA")
    regions = scene.regions(height, width)
    for number, layer in enumerate(scene.ordered):
        stroke = STROKES[number % len(STROKES)]
        region = Image.fromarray((regions[layer.name] * 255).astype("uint8"))
        page.paste(stroke, (0, 0), region.point([round(0.16 * i) for i in range(256)]))
        box = region.point([0] * 128 + [255] * 128).getbbox() or (0, 0, width, height)
        if layer.box is not None:
            pen.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=stroke, width=2)
        words = _wrapped(layer.prompt or layer.name, pen, box[2] - box[0] - 10)
        place = (box[0] + 6, box[1] + 4)
        pen.multiline_text(place, words, stroke, ImageFont.load_default(12), spacing=2)
    pen.rectangle((0, 0, width - 1, height - 1), outline=(*INK, 50))
    return page


def _wrapped(text: str, pen: ImageDraw.ImageDraw, width: float) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        fits = pen.textlength(longer, ImageFont.load_default(12)) <= width
        lines = [*lines[:-1], longer] if fits or not lines[-1] else [*lines, word]
    return "\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
