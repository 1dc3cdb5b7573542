"""Draw the figures of the page of RealCompo; takes a minute or two.

Usage: ``python scripts/docs/realcompo_pictures.py [PART...]``, with the parts of `PARTS`; all of
them by default. Run it again when the models change and commit what it writes:
`docs/assets/pictures/realcompo-*.png`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor
from workspace import DOCS, ROOT

from compose_benchmarks.items import Item
from compose_benchmarks.registry import find as find_suite
from compose_benchmarks.runner.generate import draw, sampler
from compose_benchmarks.studies.chart import Curve, Point, curves, grid, stacked, tile
from compose_core import zoo
from compose_core.backbones import load_model
from compose_core.method import find as find_method
from compose_core.scene import Scene, load_scene
from compose_core.trace import Trace
from compose_realcompo import RealCompoPipeline

STEPS, GUIDANCE = 20, 5.0
PICTURES = DOCS / "assets" / "pictures"
SCENE = ROOT / "examples" / "two-toys.toml"
METHODS = {
    "plain": "words\nalone",
    "gligen": "GLIGEN\nalone",
    "static-blend": "equal\nshares",
    "realcompo": "balanced",
}
SHOWN = {"realcompo-spatial": 3, "realcompo-numeracy": 3}
"""How many scenes of which suite: the first, not chosen."""
VERSIONED, SHOWN_VERSIONS = "realcompo-attributes", 5
VERSIONS = {
    ("sd-tiny", "realcompo"): "v1: text and\nGLIGEN",
    ("sd-tiny", "realcompo-v2"): "v2: second\nand GLIGEN",
    ("sd-tiny", "realcompo-v3"): "v3: text and\nguidance",
    ("sd-tiny", "realcompo-v4"): "v4: second\nand guidance",
    ("sd-tiny-crayon", "plain"): "crayon,\nwords alone",
    ("sd-tiny", "realcompo-crayon"): "crayon and\nGLIGEN",
}
"""Base and method, and how a column is called."""

TILE = 88
INKS = ((213, 94, 0), (0, 114, 178), (0, 122, 90), (156, 79, 130))


def methods() -> Image.Image:
    """The first scenes of two suites by each method, from the same noise."""
    rows: list[list[Image.Image | None]] = []
    names: list[str] = []
    for suite, count in SHOWN.items():
        items = find_suite(suite).items(count)
        made = [_drawn(items, "sd-tiny", name) for name in METHODS]
        for number, item in enumerate(items):
            rows.append([_layout(item.scene), *(tile(each[number], TILE) for each in made)])
            names.append(_lines(item.scene.prompt))
    return grid(rows, ["layout", *METHODS.values()], names, after=(0,))


def versions() -> Image.Image:
    """The first scenes of a suite by RealCompo of other models, from the same noise."""
    rows: list[list[Image.Image | None]] = []
    names: list[str] = []
    items = find_suite(VERSIONED).items(SHOWN_VERSIONS)
    made = [_drawn(items, base, name) for base, name in VERSIONS]
    for number, item in enumerate(items):
        rows.append([_layout(item.scene), *(tile(each[number], TILE) for each in made)])
        names.append(_lines(item.scene.prompt))
    return grid(rows, ["layout", *VERSIONS.values()], names, after=(0,))


def _drawn(items: Sequence[Item], base: str, method: str) -> Tensor:
    """Pictures (B, 3, H, W) of items by a method, whose base model is of this name."""
    model = load_model(zoo.resolve(base), id=base)
    return draw(
        model,
        find_method(method)(),
        items,
        walk=sampler("ddim", model, STEPS),
        guidance=GUIDANCE,
        device="cpu",
        max_batch=32,
    )[0]


def balance() -> Image.Image:
    """Figure 13, and where whom is believed, of the example."""
    scene = load_scene(SCENE)
    pipe: Any = RealCompoPipeline.from_pretrained("sd-tiny")
    pipe.set_progress_bar_config(disable=True)
    dice = torch.Generator().manual_seed(scene.seed)
    out = pipe(
        scene.prompt,
        phrases=[layer.prompt for layer in scene.layers],
        boxes=[layer.box for layer in scene.layers],
        generator=dice,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        output_type="pt",
        trace=True,
        warn=lambda _: None,
    )
    trace: Trace = out.trace
    drawn = tile(out.images[0], TILE)
    names = [layer.name for layer in scene.layers]
    at = [8, 10, 12, 15, 18]
    rows: list[list[Image.Image | None]] = [
        [drawn, *(_heat(_seen(trace, "text.share", i), 0, 1) for i in at)]
    ]
    labels = ["share of the\ntext model"]
    for number, name in enumerate(names):
        for side in ("text", "layout"):
            maps = [_seen(trace, f"{side}.attention.{number}", i) for i in at]
            rows.append([None, *map(_heat, maps)])
            labels.append(f"{side} model,\n{name!r}")
    maps_ = grid(rows, ["", *(f"step {i + 1}" for i in at)], labels)
    charts = [
        _curves(trace, "gradient", "mean size of the derivative by a coefficient"),
        _curves(trace, "loss", "loss: attention outside the boxes"),
    ]
    return stacked([maps_, *charts])


def _curves(trace: Trace, what: str, title: str) -> Image.Image:
    some: list[Curve] = []
    sides = ("layout",) if what == "gradient" else ("text", "layout")  # of two, both are equal
    for color, side in enumerate(sides):
        found: list[Point] = []
        for step in range(len(trace)):
            value = _maybe(trace, f"{side}.{what}", step)
            if value is not None:
                found.append(Point(step + 1, float(value.mean())))
        name = "either model" if len(sides) == 1 else f"{side} model"
        some.append(Curve(name, found, color))
    marks = [(float(step), str(step)) for step in range(8, STEPS + 1, 2)]  # after t0
    return curves(title, some, marks, "step")


def _maybe(trace: Trace, ending: str, step: int) -> Tensor | None:
    for name, value in trace.step(step).items():
        if name == ending or name.endswith((f".{ending}", f" {ending}")):
            return value
    return None


def _seen(trace: Trace, ending: str, step: int) -> Tensor:
    value = _maybe(trace, ending, step)
    if value is None:
        raise SystemExit(f"nothing called {ending!r} was traced at step {step}: {trace.names}")
    return value.reshape(-1, *value.shape[-2:])[0]


def _heat(values: Tensor, low: float | None = None, high: float | None = None) -> Image.Image:
    """(h, w) from dark blue over green to yellow, over its own range unless one is given."""
    least = float(values.min()) if low is None else low
    most = float(values.max()) if high is None else high
    x = ((values - least) / max(most - least, 1e-9)).clamp(0, 1)
    rgb = torch.stack([0.13 + 0.87 * x**1.5, 0.1 + 0.82 * x, 0.4 + 0.2 * x - 0.45 * x**2])
    fine = torch.nn.functional.interpolate(rgb[None], (TILE, TILE), mode="nearest")[0]
    return tile(fine, TILE)


def _layout(scene: Scene) -> Image.Image:
    """The boxes of a scene."""
    page = Image.new("RGB", (TILE, TILE), (250, 248, 244))
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, TILE - 1, TILE - 1), outline=(200, 196, 188))
    for number, layer in enumerate(scene.layers):
        if layer.box is not None:
            corners = tuple(round(v * (TILE - 1)) for v in layer.box)
            pen.rectangle(corners, outline=INKS[number % len(INKS)], width=2)
    return page


def _lines(words: str, width: int = 24) -> str:
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


PARTS: dict[str, Callable[[], Image.Image]] = {
    "methods": methods,
    "balance": balance,
    "versions": versions,
}


def main(given: Sequence[str] | None = None) -> None:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder of the figures")
    args = parser.parse_args(given)
    asked = args.parts or list(PARTS)
    if unknown := set(asked) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    args.out.mkdir(parents=True, exist_ok=True)
    for part in asked:
        print(part)
        PARTS[part]().save(args.out / f"realcompo-{part}.png", optimize=True)


if __name__ == "__main__":
    main()
