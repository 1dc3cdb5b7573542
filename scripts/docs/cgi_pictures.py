"""Draw the figure of the page of CGI: the three examples, as `compose run` draws them.

Usage: ``python scripts/docs/cgi_pictures.py``; takes a minute or two. Run it again when the models
change and commit what it writes: `docs/assets/pictures/cgi-tasks.png`.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from workspace import DOCS, ROOT

from compose_benchmarks.studies.chart import grid, stacked
from compose_core.run import run_scene
from compose_core.scene import load_scene

PICTURE = DOCS / "assets" / "pictures" / "cgi-tasks.png"
SIDE = 160
BOARD = ((250, 248, 244), (226, 222, 214))
"""Colours behind what is cut out."""


def main() -> None:
    """Draw it."""
    with TemporaryDirectory() as folder:
        (wide,) = (_large(path) for path in _run("panorama", Path(folder)))
        scene = next(iter(_run("background-and-object", Path(folder))))
        beside = [scene.with_suffix(f".{name}.png") for name in ("meadow", "ball")]
        figure = next(iter(_run("figure-and-face", Path(folder))))
        tiles = [_large(path) for path in (scene, *beside, figure)]
    heads = ["the picture", "its background", "its object, cut out", "a figure and its head"]
    parts = [grid([[wide]], ["a ring of four views"]), grid([tiles], heads)]
    stacked(parts, margin=12, gap=18).save(PICTURE, optimize=True)


def _run(example: str, folder: Path) -> list[Path]:
    scene = load_scene(ROOT / "examples" / f"{example}.toml")
    return list(run_scene(scene, method="cgi", device="cpu", out=folder, name=example))


def _large(path: Path) -> Image.Image:
    """As tall as a tile, on a board where nothing is."""
    image = Image.open(path).convert("RGBA")
    size = (image.width * SIDE // image.height, SIDE)
    image = image.resize(size, Image.Resampling.BICUBIC)
    board = Image.new("RGB", size, BOARD[0])
    for y in range(0, size[1], 10):
        for x in range(0, size[0], 10):
            if (x + y) // 10 % 2:
                board.paste(BOARD[1], (x, y, x + 10, y + 10))
    board.paste(image, (0, 0), image.getchannel("A"))
    return board


if __name__ == "__main__":
    main()
