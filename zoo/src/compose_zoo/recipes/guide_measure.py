"""Measures the ControlNets for segments and keypoints: are objects where they were drawn?

python -m compose_zoo.recipes.guide_measure controlnet-tiny-keypoints --count 128
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from compose_core.backbones import Model, load_model
from compose_core.zoo import resolve
from compose_worlds.judge import JudgeNet, read
from compose_worlds.primitives import cache
from compose_worlds.primitives import draw as drawing
from compose_zoo.recipes import controlnet_tiny_keypoints as dots
from compose_zoo.recipes import controlnet_tiny_segments as segments
from compose_zoo.recipes import gligen_layouts, gligen_measure, scores, walks

GUIDANCE, STEPS = 4.0, 30


class Followed(NamedTuple):
    """The stored label that a ControlNet follows, and what is drawn of it."""

    label: str
    shown: Callable[[Tensor], Tensor]


KINDS = {
    "controlnet-tiny-segments": Followed("semantics", segments.segmentation),
    "controlnet-tiny-keypoints": Followed("instance", dots.condition),
}


def drawn(base: Model, texts: Sequence[str], maps: Tensor | None) -> Tensor:
    """A picture for each text, (N, 3, 64, 64) in [-1, 1]; picture i is drawn from seed i.

    Args:
        base: With the ControlNet.
        texts: N captions.
        maps: (N, 3, 64, 64) in [0, 1], or none to draw freely.
    """
    told = {} if maps is None else {"control": maps}
    return walks.pictures(base, texts, told, steps=STEPS, guidance=GUIDANCE)


def followed(
    model: str, base: Model, judge: JudgeNet, scenes: Path, count: int
) -> dict[str, scores.Share]:
    """How many objects of held-out scenes are seen and where, with their map and without.

    Args:
        model: Which of `KINDS`.
        base: `sd-tiny` with that ControlNet.
        judge: Who looks.
        scenes: Folder in which rendered scenes are kept.
        count: How many scenes.
    """
    kind = KINDS[model]
    numbers = range(cache.HELD_OUT, cache.HELD_OUT + count)
    maps = kind.shown(cache.load(scenes, numbers, (kind.label,))[kind.label])
    texts = [drawing.caption(*drawing.scene(n), n).text for n in numbers]
    layouts = gligen_layouts.load(scenes, numbers)
    found: dict[str, scores.Share] = {}
    for name, asked in (("guided", maps), ("free", None)):
        seen = read(judge, drawn(base, texts, asked))
        shares = gligen_measure.placed(seen, layouts)
        found |= {f"{name}: {what}": value for what, value in shares.items()}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure with the map and without."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("id", choices=tuple(KINDS))
    parser.add_argument("--runs", type=Path, help="folder of fresh runs; default: published ones")
    parser.add_argument("--count", type=int, default=128, help="scenes")
    given = parser.parse_args(arguments)

    def folder(model: str) -> Path:
        fresh = given.runs / model / "export" if given.runs else None
        return fresh if fresh is not None and fresh.is_dir() else resolve(model)

    scenes = (given.runs or Path("runs")) / "cache" / "primitives"
    base = load_model(folder("sd-tiny"), controlnet=folder(given.id))
    judge = JudgeNet.load(folder("judge-tiny"))
    found = followed(given.id, base, judge, scenes, given.count)
    rows = {name: scores.row(value) for name, value in found.items()}
    sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
