"""Measures `gligen-tiny` on held-out layouts; prints what its manifest records.

python -m compose_zoo.recipes.gligen_measure --runs runs --count 256
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from compose_core.backbones import Model, load_model
from compose_core.denoiser import Network
from compose_core.encoded import Encoded
from compose_core.prediction import Prediction, translate
from compose_core.schedule import Level, Schedule
from compose_core.zoo import resolve
from compose_worlds.judge import Found, JudgeNet, overlap, read
from compose_worlds.primitives import cache, draw
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS
from compose_zoo.recipes import gligen, gligen_layouts, scores, walks
from compose_zoo.recipes.gligen_layouts import Layouts

STEPS, GUIDANCE = 20, 5.0
ROOM = gligen.USUAL


class GroundedNetwork(Network):
    """A gated UNet that predicts epsilon; without `"boxes"` in a question it is its base."""

    def __init__(self, unet: UNet2DConditionModel, schedule: Schedule) -> None:
        """The UNet of `gligen.load` and the schedule of its base."""
        super().__init__()
        self.unet, self.schedule = unet, schedule

    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """Predict; see `Network`. Reads `"text"`, and what `gligen.grounding` makes."""
        scaled, matched = translate(x_t, level, self.schedule)
        encoded = encoded.expand(len(x_t))
        told = {name: value for name, value in encoded.items() if name != "text"}
        eps = self.unet(
            scaled,
            matched.t.to(scaled),
            encoded["text"],
            cross_attention_kwargs={"gligen": told} if told else None,
        ).sample
        return Prediction.from_eps(scaled, matched, eps).at(x_t, level)


@dataclass(frozen=True)
class Asked:
    """Held-out scenes: N captions that name all objects, and the layouts of these."""

    texts: list[str]
    layouts: Layouts


def asked(scenes: Path, count: int, start: int = cache.HELD_OUT) -> Asked:
    """The first `count` scenes from `start` whose caption leaves no object out."""
    numbers: list[int] = []
    texts: list[str] = []
    number = start
    while len(numbers) < count:
        caption = draw.caption(*draw.scene(number), number)
        if caption.complete:
            numbers.append(number)
            texts.append(caption.text)
        number += 1
    whole = gligen_layouts.load(scenes, range(start, number))
    chosen = torch.tensor(numbers) - start
    return Asked(texts, Layouts(whole.boxes[chosen], whole.kinds[chosen]))


def pictures(base: Model, network: Network, wanted: Asked, *, grounded: bool) -> Tensor:
    """A picture for each scene, (N, 3, 64, 64) in [-1, 1]; picture i is drawn from seed i.

    With grounding, the side of guidance without a caption hears null tokens.
    """
    told = _told(base, wanted.layouts.boxes, wanted.layouts.kinds) if grounded else {}
    null = {name: torch.zeros_like(value) for name, value in told.items()}
    return walks.pictures(
        base, wanted.texts, told, null, network=network, steps=STEPS, guidance=GUIDANCE
    )


@torch.no_grad()
def _told(base: Model, boxes: Tensor, kinds: Tensor) -> dict[str, Tensor]:
    words, encoder = (base.components[name] for name in ("tokenizer", "text_encoder"))
    texts = [gligen_layouts.phrases(max(int(kind), 0))[0] for kind in kinds.flatten()]
    phrases = gligen_layouts.embed(words, encoder, texts).unflatten(0, kinds.shape)
    return gligen.grounding(boxes, phrases, kinds >= 0, ROOM)


def placed(found: Sequence[Sequence[Found]], wanted: Layouts) -> dict[str, scores.Share]:
    """How many of the objects asked for are seen, and where.

    Args:
        found: Of each of N pictures, what the judge sees.
        wanted: What was asked for.

    Returns:
        Shares of the objects asked for of which one of that shape and colour is ``there``, is
        there with its ``centre in the box``, with ``IoU > 0.5`` of its box and the one asked for.
    """
    hits: dict[str, list[bool]] = {"there": [], "centre in the box": [], "IoU > 0.5": []}
    for seen, boxes, kinds in zip(
        found, wanted.boxes.tolist(), wanted.kinds.tolist(), strict=True
    ):
        for box, kind in zip(boxes, kinds, strict=True):
            if kind < 0:
                continue
            shape, color = SHAPES[kind // len(COLORS)], list(COLORS)[kind % len(COLORS)]
            same = [f for f in seen if f.shape == shape and f.color == color]
            hits["there"].append(bool(same))
            hits["centre in the box"].append(any(_inside(f.centre, box) for f in same))
            hits["IoU > 0.5"].append(any(overlap(f.box, box) > 0.5 for f in same))
    return {name: scores.share(values) for name, values in hits.items()}


def _inside(point: tuple[float, float], box: Sequence[float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure with and without grounding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=Path, help="folder of fresh runs; default: published ones")
    parser.add_argument("--count", type=int, default=256, help="scenes")
    given = parser.parse_args(arguments)

    def folder(model: str) -> Path:
        fresh = given.runs / model / "export" if given.runs else None
        return fresh if fresh is not None and fresh.is_dir() else resolve(model)

    base = load_model(folder("sd-tiny"))
    unet = gligen.load(folder("gligen-tiny"), base.components["unet"])
    network = GroundedNetwork(unet, base.schedule)
    judge = JudgeNet.load(folder("judge-tiny"))
    wanted = asked((given.runs or Path("runs")) / "cache" / "primitives", given.count)
    rows: dict[str, object] = {}
    for name, grounded in (("grounded", True), ("free", False)):
        seen = read(judge, pictures(base, network, wanted, grounded=grounded))
        for what, value in placed(seen, wanted.layouts).items():
            interval = [round(v, 4) for v in value.interval]
            row = {"value": round(value.value, 4), "interval": interval, "n": value.n}
            rows[f"{name}: {what}"] = row
    sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
