"""Measures painters of labels: does the judge read in a picture what its labels said?

python -m compose_zoo.recipes.painters_measure tlam-tiny --count 512
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Generator

from compose_core.zoo import resolve
from compose_metrics.dense.segmentation import MeanIoU, PixelAccuracy
from compose_metrics.result import Source
from compose_tlam.model import Painter
from compose_tlam.sparsity import drop
from compose_worlds.judge import JudgeNet
from compose_worlds.primitives import cache
from compose_worlds.primitives.world import SEMANTICS
from compose_zoo.recipes import painters

_BATCH = 64


@torch.no_grad()
def read_back(
    painter: Painter, judge: JudgeNet, samples: painters.Rendered, sparsity: float = 0.0
) -> dict[str, float]:
    """Mean IoU and pixel accuracy of the classes that the judge reads.

    Args:
        painter: Paints.
        judge: Reads.
        samples: Scenes.
        sparsity: Probability that a label is missing in an area; drawn from seed 0.
    """
    nobody = Source("judge-tiny", "0" * 64, False)
    metrics = [kind(len(SEMANTICS), judge=nobody) for kind in (MeanIoU, PixelAccuracy)]
    dice = Generator().manual_seed(0)
    numbers = torch.arange(len(samples))
    for some in numbers.split(_BATCH):
        _, stack, regions = samples(some)  # type: ignore[arg-type]
        truth = stack.layers["semantics"].value
        given = drop(stack, regions, sparsity, dice) if sparsity else stack
        seen = judge(painter(given.under(painter.labels))).semantics.argmax(1)
        for metric in metrics:
            metric.update(seen, truth, keys=some.tolist())
    names = ("mean IoU of classes", "pixels of the right class")
    return {n: float(m.compute().value) for n, m in zip(names, metrics, strict=True)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure with the labels that the painter was trained for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("id", choices=tuple(painters.PLANS))
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs")
    parser.add_argument(
        "--fresh", action="store_true", help="that of the run, not the shipped one"
    )
    parser.add_argument("--count", type=int, default=512, help="held-out scenes")
    given = parser.parse_args(arguments)
    folder = given.runs / given.id / "export" if given.fresh else resolve(given.id)
    samples = painters.Rendered(given.runs, range(cache.HELD_OUT, cache.HELD_OUT + given.count))
    sparsity = painters.PLANS[given.id].game.sparsity
    judge = JudgeNet.load(resolve("judge-tiny"))
    found = read_back(Painter.load(folder), judge, samples, sparsity)
    rows = {name: round(value, 4) for name, value in found.items()}
    sys.stdout.write(json.dumps({"sparsity": sparsity, "n": given.count, **rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
