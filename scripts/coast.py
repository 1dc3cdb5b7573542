"""Draw the schematic map that `examples/coast.toml` names.

Usage: ``python scripts/coast.py [FOLDER]``

A place of a land that no tiny model was trained on, four times as wide as what they know.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image

from compose_worlds.terrain import chart, draw
from compose_worlds.terrain.places import HELD_OUT

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIZE = (96, 128)
PLACE = HELD_OUT + 11


def main(folder: Path = EXAMPLES) -> None:
    """Write `coast-map.png`."""
    seen, _ = draw(PLACE, SIZE)
    pixels = (chart(seen) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    Image.fromarray(pixels.numpy()).save(folder / "coast-map.png", optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
