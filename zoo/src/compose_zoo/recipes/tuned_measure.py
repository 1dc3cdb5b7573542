"""Measures the variants of `sd-tiny`: what they draw, and in which style.

python -m compose_zoo.recipes.tuned_measure sd-tiny-crayon --count 256
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from open_clip import CLIP
from torch import Tensor

from compose_core.backbones import Model, load_model
from compose_core.zoo import resolve
from compose_worlds.judge import JudgeNet, read
from compose_worlds.primitives import cache
from compose_worlds.primitives import draw as drawing
from compose_zoo.recipes import gligen_layouts, gligen_measure, scores, towers, walks
from compose_zoo.recipes.sd_tiny_crayon import drawings

GUIDANCE, STEPS = 5.0, 20
VARIANTS = ("sd-tiny-crayon", "sd-tiny-second")


@torch.no_grad()
def drawn(clip: CLIP, pictures: Tensor, crayons: Tensor, renders: Tensor) -> scores.Share:
    """Pictures that are nearer to the mean of drawings than to that of renders, by cosine.

    Args:
        clip: `clip-tiny`.
        pictures: (N, 3, 64, 64) in [-1, 1].
        crayons: (M, 3, 64, 64), drawings.
        renders: (M, 3, 64, 64), the same scenes rendered.
    """
    seen, *means = (clip.encode_image(x, normalize=True) for x in (pictures, crayons, renders))
    to = torch.stack([m.mean(0) / m.mean(0).norm() for m in means], 1)
    near = seen @ to
    return scores.share((near[:, 0] > near[:, 1]).tolist())


def measured(
    base: Model, judge: JudgeNet, clip: CLIP, scenes: Path, count: int
) -> dict[str, scores.Share]:
    """What a model draws of held-out captions.

    Args:
        base: The model.
        judge: Who looks for objects.
        clip: Who looks at the style.
        scenes: Folder in which rendered scenes are kept.
        count: How many captions.
    """
    numbers = range(cache.HELD_OUT, cache.HELD_OUT + count)
    texts = [drawing.caption(*drawing.scene(n), n).text for n in numbers]
    pictures = walks.pictures(base, texts, steps=STEPS, guidance=GUIDANCE)
    shares = gligen_measure.placed(read(judge, pictures), gligen_layouts.load(scenes, numbers))
    renders = _signed(cache.load(scenes, numbers, ("picture",))["picture"])
    crayons = _signed(drawings(scenes, numbers))
    known = gligen_measure.placed(read(judge, crayons), gligen_layouts.load(scenes, numbers))
    style = {
        "drawings: there": known["there"],
        "in crayon": drawn(clip, pictures, crayons, renders),
        "drawings in crayon": drawn(clip, crayons, crayons, renders),
        "renders in crayon": drawn(clip, renders, crayons, renders),
    }
    return shares | style


def _signed(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a variant, and `sd-tiny` beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("id", choices=VARIANTS)
    parser.add_argument("--runs", type=Path, help="folder of fresh runs; default: published ones")
    parser.add_argument("--count", type=int, default=256, help="captions")
    given = parser.parse_args(arguments)

    def folder(model: str) -> Path:
        fresh = given.runs / model / "export" if given.runs else None
        return fresh if fresh is not None and fresh.is_dir() else resolve(model)

    scenes = (given.runs or Path("runs")) / "cache" / "primitives"
    judge, clip = JudgeNet.load(folder("judge-tiny")), towers.load(folder("clip-tiny"))
    rows: dict[str, object] = {}
    for name in (given.id, "sd-tiny"):
        found = measured(load_model(folder(name)), judge, clip, scenes, given.count)
        rows |= {f"{name}: {what}": scores.row(value) for what, value in found.items()}
    sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
