"""Measures `sd-tiny-inpaint` on held-out scenes; prints what its manifest records.

python -m compose_zoo.recipes.sd_tiny_inpaint_measure --count 128
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from compose_cnc.data.adapters import DiffusersInpainter
from compose_core.zoo import resolve
from compose_worlds.judge import JudgeNet, objects
from compose_worlds.primitives import cache
from compose_zoo.recipes import cnc_scenes, sd_tiny_inpaint_task

BATCH = 32
_GROWN = 7
"""Side of the square by which objects grow to holes, in pixels."""


@torch.no_grad()
def filled(
    folder: Path, judge: JudgeNet, pictures: Tensor, backgrounds: Tensor, masks: Tensor
) -> dict[str, float]:
    """How well objects are taken away, with the words and settings of `compose cnc triplets`.

    Args:
        folder: The inpainting pipeline.
        judge: Looks for objects.
        pictures: (N, 3, H, W) in [0, 1].
        backgrounds: What is really behind the objects, likewise.
        masks: (N, H, W) of zeros and ones, where the objects are.

    Returns:
        ``error in the hole``: mean absolute error in [0, 1] against the true background;
        ``object left``: share of pictures in which the judge sees an object with more than half of
        its box in the hole; ``object before``: the same before anything was taken away.
    """
    paint = DiffusersInpainter(folder)
    holes = sd_tiny_inpaint_task.grown(masks[:, None], torch.full((len(masks),), _GROWN))[:, 0]
    made: list[Tensor] = []
    for start in range(0, len(holes), BATCH):
        some = holes[start : start + BATCH]
        dice = [torch.Generator().manual_seed(start + i) for i in range(len(some))]
        shown = pictures[start : start + BATCH] * (1 - some[:, None])
        made.append(paint(shown, some, dice))
    found = torch.cat(made)
    wrong = ((found - backgrounds).abs().mean(1) * holes).sum((1, 2))
    return {
        "error in the hole": float((wrong / holes.sum((1, 2))).mean()),
        "object left": _objects_in(judge, found, holes),
        "object before": _objects_in(judge, pictures, holes),
    }


def _objects_in(judge: JudgeNet, pictures: Tensor, holes: Tensor) -> float:
    height, width = holes.shape[1:]
    hits = 0
    for start in range(0, len(pictures), BATCH):
        readings = judge(pictures[start : start + BATCH] * 2 - 1)
        for row, hole in enumerate(holes[start : start + BATCH]):
            boxes = [found.box for found in objects(readings, row)]
            inside = [
                hole[
                    round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)
                ]
                for x0, y0, x1, y1 in boxes
            ]
            hits += any(part.numel() > 0 and float(part.mean()) > 0.5 for part in inside)
    return hits / len(pictures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=Path, help="folder of a fresh run; default: published")
    parser.add_argument("--count", type=int, default=128)
    given = parser.parse_args(arguments)
    model = "sd-tiny-inpaint"
    folder = given.runs / model / "export" if given.runs else resolve(model)
    numbers = range(cache.HELD_OUT, cache.HELD_OUT + given.count)
    whole = cache.make(numbers)["picture"].float() / 255
    apart = cnc_scenes.make(numbers)
    judge = JudgeNet.load(resolve("judge-tiny"))
    masks = (apart["depth_fg"] > 0).float()
    found = filled(folder, judge, whole, apart["background"].float() / 255, masks)
    sys.stdout.write(json.dumps({k: round(v, 4) for k, v in found.items()}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
