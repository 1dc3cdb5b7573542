"""Measures the tiny models on held-out captions and scenes; prints what manifests record.

python -m compose_zoo.recipes.measure sd-tiny --count 512 --guidance 4
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from compose_core.pipeline import ComposePipeline
from compose_worlds.judge import JudgeNet
from compose_worlds.primitives import cache
from compose_worlds.primitives.captions import Caption
from compose_zoo.recipes import scores

CHOOSING = cache.HELD_OUT + 500_000
"""Captions from this scene on choose the guidance scale; the scores never see them."""


def draw(
    pipe: ComposePipeline,
    texts: Sequence[str],
    *,
    steps: int = 30,
    guidance: float = 4.0,
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("id", choices=("sd-tiny", "judge-tiny"))
    parser.add_argument("--model", default="sd-tiny", help="id or folder of the base")
    parser.add_argument("--judge", default="judge-tiny", help="id or folder of the judge")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--choosing", action="store_true", help="the captions for choosing")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache/primitives"))
    given = parser.parse_args(arguments)
    judge = JudgeNet.load(_folder(given.judge))
    if given.id == "judge-tiny":
        found = scores.judge_on_renders(judge, given.cache, given.count)
    else:
        pipe = ComposePipeline.from_pretrained(given.model)
        start = CHOOSING if given.choosing else cache.HELD_OUT
        found = sd_tiny(pipe, judge, given.count, given.guidance, start)
    table = {
        name: {"value": round(s.value, 4), "interval": [round(v, 4) for v in s.interval], "n": s.n}
        for name, s in found.items()
    }
    sys.stdout.write(json.dumps(table, indent=2) + "\n")
    return 0


def _folder(model: str) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from compose_core.zoo import resolve

    return resolve(model)


if __name__ == "__main__":
    raise SystemExit(main())
