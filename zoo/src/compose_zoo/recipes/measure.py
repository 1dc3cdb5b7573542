"""Measures the tiny models on held-out captions and scenes; prints what manifests record.

python -m compose_zoo.recipes.measure sd-tiny --count 512 --guidance 5
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from compose_core.backbones import Model, load_model
from compose_core.pipeline import ComposePipeline
from compose_core.zoo import resolve
from compose_worlds.judge import JudgeNet
from compose_worlds.primitives import cache
from compose_worlds.primitives import draw as drawing
from compose_worlds.primitives.captions import Caption
from compose_worlds.primitives.labels import relative_depth
from compose_zoo.recipes import guide, hand, scores, towers, walks

GUIDE = "controlnet-tiny-depth"
CHOOSING = cache.HELD_OUT + 500_000
"""Captions from this scene on choose the guidance scale; the scores never see them."""


def draw(
    pipe: ComposePipeline,
    texts: Sequence[str],
    *,
    steps: int = 30,
    guidance: float = 5.0,
    seed: int = 0,
    batch: int = 32,
) -> Tensor:
    """One picture for each text, (B, 3, H, W) in [-1, 1]; picture i is drawn from seed + i."""
    pipe.set_progress_bar_config(disable=True)
    parts: list[Tensor] = []
    for start in range(0, len(texts), batch):
        some = list(texts[start : start + batch])
        dice = [torch.Generator().manual_seed(seed + start + i) for i in range(len(some))]
        out = pipe(
            some,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=dice,
            output_type="pt",
        )
        # Rounded as a saved picture would be.
        parts.append((out.images * 255).round() / 127.5 - 1)
    return torch.cat(parts)


def sd_tiny(
    pipe: ComposePipeline, judge: JudgeNet, count: int, guidance: float, start: int
) -> dict[str, scores.Share]:
    """Shares of kept promises for captions of one object, of two, and of relations."""
    out: dict[str, scores.Share] = {}
    for kind in ("one", "two", "relation"):
        claims: list[Caption] = scores.captions(kind, count, start)
        pictures = draw(pipe, [c.text for c in claims], guidance=guidance, seed=start)
        verdicts = scores.judge(judge, pictures, claims)
        for name, value in scores.summary(verdicts, claims).items():
            out[f"{kind}: {name}"] = value
    return out


@torch.no_grad()
def clip_tiny(folder: Path, scenes: Path, count: int) -> dict[str, scores.Share]:
    """How often the right one of 64 captions is nearest to a held-out picture, and vice versa."""
    clip = towers.load(folder)
    words = CLIPTokenizer.from_pretrained(folder)
    numbers = range(cache.HELD_OUT, cache.HELD_OUT + count)
    shown = cache.load(scenes, numbers, ("picture",))["picture"]
    texts = [drawing.caption(*drawing.scene(n), n).text for n in numbers]
    hits: dict[str, list[bool]] = {"picture to caption": [], "caption to picture": []}
    for start in range(0, count - 63, 64):
        some = texts[start : start + 64]
        tokens = words(some, padding="max_length", return_tensors="pt").input_ids
        image = clip.encode_image(shown[start : start + 64].float() / 127.5 - 1, normalize=True)
        near = image @ clip.encode_text(tokens, normalize=True).mT
        # Equal captions are equally right.
        for name, axis in (("picture to caption", 1), ("caption to picture", 0)):
            best = near.argmax(axis)
            hits[name] += [some[int(j)] == some[i] for i, j in enumerate(best)]
    return {name: scores.share(values) for name, values in hits.items()}


@torch.no_grad()
def controlnet_tiny_depth(
    base: Model, judge: JudgeNet, scenes: Path, count: int
) -> dict[str, float]:
    """How far the depth of pictures is from the depth asked for, with and without the guide.

    Mean absolute error of relative inverse depth in [0, 1], as the judge reads it.
    """
    numbers = range(cache.HELD_OUT, cache.HELD_OUT + count)
    wanted = guide.condition(cache.load(scenes, numbers, ("depth",))["depth"])
    texts = [drawing.caption(*drawing.scene(n), n).text for n in numbers]
    errors: dict[str, list[float]] = {}
    for name, told in (("guided", {"control": wanted}), ("free", {})):
        made = walks.pictures(base, texts, told, steps=30, guidance=4.0)
        errors[name] = []
        for some, asked in zip(made.split(32), wanted.split(32), strict=True):
            seen = relative_depth(judge(some).depth.clamp_min(0))
            errors[name] += (seen - asked[:, :1]).abs().mean((1, 2, 3)).tolist()
    return {name: sum(found) / len(found) for name, found in errors.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("id", choices=("sd-tiny", "judge-tiny", "clip-tiny", GUIDE))
    parser.add_argument("--runs", type=Path, help="folder of fresh runs; default: published ones")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--choosing", action="store_true", help="the captions for choosing")
    given = parser.parse_args(arguments)

    def folder(model: str) -> Path:
        return given.runs / model / "export" if given.runs else resolve(model)

    scenes = (given.runs or Path("runs")) / "cache" / "primitives"
    judge = JudgeNet.load(folder("judge-tiny"))
    start = CHOOSING if given.choosing else cache.HELD_OUT
    if given.id == "judge-tiny":
        found: dict[str, Any] = dict(scores.judge_on_renders(judge, scenes, given.count))
        found |= {f"by hand: {k}": v for k, v in hand.judge_by_hand(judge).items()}
    elif given.id == "clip-tiny":
        found = dict(clip_tiny(folder("clip-tiny"), scenes, given.count))
    elif given.id == GUIDE:
        base = load_model(folder("sd-tiny"), controlnet=folder(GUIDE))
        found = dict(controlnet_tiny_depth(base, judge, scenes, given.count))
    else:
        pipe = ComposePipeline.from_pretrained(folder("sd-tiny"))
        found = dict(sd_tiny(pipe, judge, given.count, given.guidance, start))
    sys.stdout.write(json.dumps({k: scores.row(v) for k, v in found.items()}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
