"""Draw the figures of the page of TLAM; takes a minute or two.

Usage: ``python scripts/docs/tlam_pictures.py [PART...]``, with the parts of `PARTS`; all of them
by default. Plots are drawn from the records in `benchmarks/results`. Run it again when models or
records change and commit what it writes: `docs/assets/pictures/tlam-*.png`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from workspace import DOCS, ROOT

from compose_benchmarks import record
from compose_benchmarks.convergence import FILE
from compose_benchmarks.convergence import load as load_curves
from compose_benchmarks.registry import find as find_suite
from compose_benchmarks.studies.chart import Curve, Point, curves, grid, stacked, tile
from compose_core.images import MAX_CURVATURE
from compose_core.scene import load_scene
from compose_tlam import TLAMPipeline
from compose_tlam.actions import edited
from compose_tlam.concept import principal
from compose_tlam.labels import PRIMITIVES
from compose_tlam.scene import from_scene
from compose_tlam.stack import LabelStack
from compose_worlds.primitives.render import SEMANTICS, picture
from compose_worlds.primitives.world import stack

PICTURES = DOCS / "assets" / "pictures"
RESULTS = ROOT / "benchmarks" / "results"
EXAMPLES = ROOT / "examples"
TILE = 96
SEEN = ("semantics", "depth", "normals", "curvature", "edges")
DENSE = {
    "tlam": "TLAM",
    "clam": "CLAM",
    "asap-naive": "side\nby side",
    "asap-semantic": "semantics\nalone",
    "spade-naive": "SPADE,\nside by side",
    "spade": "SPADE,\nsemantics",
}
SPARSE = {"tlam-sparse": "TLAM", "clam-sparse": "CLAM", "asap-naive-sparse": "side\nby side"}
PAINTERS = {
    "tlam": "tlam-tiny",
    "clam": "clam-tiny",
    "asap-naive": "asap-naive-tiny",
    "asap-semantic": "asap-semantic-tiny",
    "spade-naive": "spade-naive-tiny",
    "spade": "spade-tiny",
    "tlam-sparse": "tlam-tiny-sparse",
    "clam-sparse": "clam-tiny-sparse",
    "asap-naive-sparse": "asap-naive-tiny-sparse",
}
COUNT = 4
"""Scenes of a grid: the first of the suite, not chosen."""

SPARSITIES = {
    "tlam-dense": 0.0,
    "tlam-sparse-10": 0.1,
    "tlam-sparse-30": 0.3,
    "tlam-sparse": 0.5,
    "tlam-sparse-70": 0.7,
}
FID = "fid@tiny-v1"
SHOWN = {
    FID: f"{FID}: distance to renders, smaller is better",
    "miou@tiny-v1": "miou@tiny-v1: classes that the judge reads, larger is better",
}
"""What the plots of sparsity and removal show."""

HUES = torch.tensor(
    [
        (0.60, 0.78, 0.92), (0.55, 0.62, 0.45), (0.80, 0.74, 0.66), (0.86, 0.37, 0.34),
        (0.24, 0.50, 0.76), (0.95, 0.72, 0.25), (0.45, 0.68, 0.40), (0.62, 0.40, 0.68),
        (0.30, 0.66, 0.66), (0.60, 0.45, 0.32),
    ]
)  # fmt: skip


def labels() -> Image.Image:
    """The labels of the example, what they are merged into, and what is painted."""
    pipe = TLAMPipeline.from_pretrained("tlam-tiny")
    out = pipe(load_scene(EXAMPLES / "room.toml"), output_type="pt")
    shown = [_label(out.labels, name) for name in SEEN]
    looked = pipe.attention(out)[0]
    first = [*shown, tile(principal(out.concept)[0], TILE), tile(out.images[0], TILE)]
    second = [_heat(one) for one in looked]
    heads = [*SEEN, "concepts", "picture"]
    return grid([first, [*second, None, None]], heads, ["", "looked at"], after=(4,))


def painters() -> Image.Image:
    """The first scenes, dense and half of the labels missing, by painters trained for these."""
    parts: list[Image.Image] = []
    for suite, some, told in (
        ("tlam-dense", DENSE, "all labels"),
        ("tlam-sparse", SPARSE, "half of the\nlabels missing"),
    ):
        items = find_suite(suite).items(COUNT)
        true = picture(stack([one.drawn for one in items]), (64, 64))
        made: list[Tensor] = []
        for method in some:
            pipe = TLAMPipeline.from_pretrained(PAINTERS[method])
            scenes = [from_scene(one.scene, pipe.labels).stack for one in items]
            made.append(pipe(LabelStack.cat(scenes), output_type="pt", warn=lambda _: None).images)
        stacks = [from_scene(one.scene, PRIMITIVES).stack for one in items]
        rows = [
            [
                _label(stacks[n], "semantics"),
                _label(stacks[n], "normals"),
                *(tile(each[n], TILE) for each in made),
                tile(true[n], TILE),
            ]
            for n in range(COUNT)
        ]
        heads = [f"{told}:\nsemantics", "normals", *some.values(), "the scene\nitself"]
        parts.append(grid(rows, heads, after=(1, 1 + len(some))))
    return stacked(parts)


def edits() -> Image.Image:
    """The example, a solid put in, a solid taken out."""
    pipe = TLAMPipeline.from_pretrained("tlam-tiny-sparse")
    source = EXAMPLES / "room.toml"
    before = from_scene(load_scene(source), pipe.labels).stack
    rows: list[list[Image.Image | None]] = []
    for labels_ in (
        before,
        edited(before, source, EXAMPLES / "room-ball.toml", None),
        edited(before, source, None, EXAMPLES / "room-mask.png"),
    ):
        out = pipe(labels_, output_type="pt")
        rows.append([*(_label(labels_, name) for name in SEEN), tile(out.images[0], TILE)])
    names = ["as it was", "a ball put in", "the cone\ntaken out"]
    return grid(rows, [*SEEN, "picture"], names, after=(4,))


def learning() -> Image.Image:
    """Figure 6a: distance to renders while painters learn."""
    found = load_curves(RESULTS / FILE)
    some: list[Curve] = []
    names = {model: method for method, model in PAINTERS.items()}
    for color, one in enumerate(found.curves):
        points = [_point(m.step, m.metric(FID)) for m in one.moments]
        some.append(Curve(names[one.id], points, color % 4, dashed=color > 3))
    marks = [(float(m.step), str(m.step)) for m in found.curves[0].moments if m.step % 250 == 0]
    title = f"{FID} of averaged weights, all labels given, n = {found.n}"
    return stacked([curves(title, some, marks, "steps of training", (760, 340))])


def sparsity() -> Image.Image:
    """Figure 6b: distance to renders, and what is read of classes, under growing sparsity."""
    marks = [(x, f"{x:g}") for x in SPARSITIES.values()]
    axis = "probability that a label is missing in an area"
    charts: list[Image.Image] = []
    for metric, what in SHOWN.items():
        some = [
            Curve(method, list(_over(method, metric)), color)
            for color, method in enumerate(("tlam-sparse", "clam-sparse", "asap-naive-sparse"))
        ]
        charts.append(curves(what, [x for x in some if x.points], marks, axis, (760, 300)))
    return stacked(charts)


def removal() -> Image.Image:
    """Figure 6c: what each label is worth to the painter that learned with gaps."""
    places = ["nothing", *SEEN]
    marks = [(float(x), name) for x, name in enumerate(places)]
    charts: list[Image.Image] = []
    for metric, what in SHOWN.items():
        points: list[Point] = []
        for x, name in enumerate(places):
            suite = "tlam-dense" if x == 0 else f"tlam-without-{name}"
            found = _metric(suite, "tlam-sparse", metric)
            if found is not None:
                points.append(_point(x, found))
        one = Curve("tlam-sparse", points, joined=False)
        charts.append(curves(what, [one], marks, "what is missing", (760, 300)))
    return stacked(charts)


def _over(method: str, metric: str) -> Iterable[Point]:
    for suite, share in SPARSITIES.items():
        found = _metric(suite, method, metric)
        if found is not None:
            yield _point(share, found)


def _metric(suite: str, method: str, metric: str) -> record.Measured | None:
    path = RESULTS / suite / f"{method}.json"
    if not path.is_file():
        return None
    return next(one for one in record.load(path).metrics if one.id == metric)


def _point(x: float, found: record.Measured) -> Point:
    ends = found.interval
    return Point(x, found.value, *((ends.low, ends.high) if ends is not None else (None, None)))


def _label(labels_: LabelStack, name: str) -> Image.Image:
    """A label in colours; where it is missing, grey."""
    layer = labels_.layers.get(name)
    if layer is None:
        return tile(torch.full((3, 64, 64), 0.5), TILE)
    value, valid = layer.value[0], layer.valid[0]
    match name:
        case "semantics":
            rgb = HUES[value % max(len(HUES), len(SEMANTICS))].permute(2, 0, 1)
        case "normals":
            rgb = value / 2 + 0.5
        case "curvature":
            bent = value / (2 * MAX_CURVATURE) + 0.5
            rgb = torch.stack([bent[0], bent[1], torch.full_like(bent[0], 0.5)])
        case _:
            rgb = value.expand(3, -1, -1)
    missing = torch.full_like(rgb, 0.5)
    missing[:, ::4] = 0.42
    return tile(torch.where(valid, rgb, missing), TILE)


def _heat(values: Tensor) -> Image.Image:
    """(H, W) in [0, 1] from dark blue over green to yellow."""
    x = (values / values.max().clamp_min(1e-9)).clamp(0, 1)
    return tile(
        torch.stack([0.13 + 0.87 * x**1.5, 0.1 + 0.82 * x, 0.4 + 0.2 * x - 0.45 * x**2]), TILE
    )


PARTS: dict[str, Callable[[], Image.Image]] = {
    "labels": labels,
    "painters": painters,
    "edits": edits,
    "learning": learning,
    "sparsity": sparsity,
    "removal": removal,
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
        PARTS[part]().save(args.out / f"tlam-{part}.png", optimize=True)


if __name__ == "__main__":
    main()
