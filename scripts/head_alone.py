"""Does a view of the head draw a head that the whole has not heard of?

Usage: ``python scripts/head_alone.py [NUMBER]``; 64 figures take about five minutes on one core.

The figures are of the kind of `cgi-figure`, but not its own, and the prompt of the whole names
the body alone. Prints the share of heads and of bodies that are seen where their keypoints are.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import torch

from compose_benchmarks.items import Item, look
from compose_benchmarks.judges import Eyes
from compose_benchmarks.promises import Placed
from compose_benchmarks.registry import find as find_suite
from compose_benchmarks.runner.generate import draw, sampler
from compose_benchmarks.suites.cgi.parts import PartPlaced
from compose_core import zoo
from compose_core.backbones import load_model
from compose_core.method import find as find_method
from compose_metrics.pictures import as_saved

START = 47_500_000
BATCH = 16
ASKED = (("whole-alone", 0.3), ("cgi", 0.3), ("cgi", 1.0))
"""Methods, and the trust in the view of the head."""


def main(number: int = 64) -> None:
    """Draw, judge and print."""
    suite = replace(find_suite("cgi-figure"), start=START)
    model, judge = load_model(zoo.resolve("sd-tiny"), id="sd-tiny"), Eyes().judge
    for method, trust in ASKED:
        items = [_body_only(item, trust) for item in suite.items(number)]
        metrics = [PartPlaced(judge, name) for name in ("head", "body")]
        for start in range(0, number, BATCH):
            some = items[start : start + BATCH]
            walk = sampler("ddim", model, 20)
            made = draw(
                model,
                find_method(method)(),
                some,
                walk=walk,
                guidance=5.0,
                device="cpu",
                max_batch=64,
            )
            keys = list(range(start, start + len(some)))
            for index, metric in enumerate(metrics):
                wanted = [_wanted(item, index) for item in some]
                metric.update(as_saved(made[0]), wanted, keys=keys)
        head, body = (metric.compute().value for metric in metrics)
        print(f"{method}, trust {trust}: head {head:.3f}, body {body:.3f}")


def _body_only(item: Item, trust: float) -> Item:
    head, body = (item.drawn.solids[item.objects.index(i)] for i in (0, 1))
    layers = {layer.name: layer for layer in item.scene.layers}
    place = (layers["head"].prompt or "").split(f"{head.color} {head.shape}", 1)[1]
    layers["head"] = layers["head"].model_copy(update={"weight": trust})
    update = {"layers": tuple(layers.values()), "prompt": f"a {body.color} {body.shape}{place}"}
    return replace(item, scene=item.scene.model_copy(update=update))


def _wanted(item: Item, which: int) -> Placed:
    index = item.objects.index(which)
    solid = item.drawn.solids[index]
    box = look(item.drawn).boxes[0, index].tolist()
    return Placed(solid.shape, str(solid.color), box)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(int, sys.argv[1:]))
