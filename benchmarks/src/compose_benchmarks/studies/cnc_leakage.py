"""Whether exemplars of Compose and Conquer keep to their regions: three ways to guide attention.

Each pair is drawn both ways, with the exemplars exchanged, and both margins are averaged: what
makes every picture look more like one of the two cancels out, and where nothing is localised
nothing is left. Guidance off is not that case by itself: each stream has tokens of its own, and
depth still says where the foreground is.
"""

from __future__ import annotations

from PIL import Image

from compose_benchmarks.studies.chart import Curve, Point, curves, grid, stacked, tile
from compose_benchmarks.studies.record import StudyRecord
from compose_benchmarks.studies.study import Contrast, Setting, Shown, Study
from compose_cnc.attention import SoftGuidance

__all__ = ["MODES", "STUDY"]

MODES: dict[SoftGuidance, str] = {
    "mask": "masked\n(the code)",
    "paper": "multiplied\n(the paper)",
    "off": "off",
}
CURVES = {"localized-margin": "both", "fg-margin": "foreground", "bg-margin": "background"}
ROWS = 4
"""Pairs whose pictures the figure shows."""


def draw(record: StudyRecord, shown: Shown) -> Image.Image:
    """Margins of the three ways, and what the first pairs look like."""
    some = [_dots(record, metric, i) for i, metric in enumerate(CURVES)]
    marks = [(float(x), text) for x, text in enumerate(MODES.values())]
    title = "margin: cosine with the own exemplar, less that with the other"
    chart = curves(title, some, marks, "", (620, 320))
    rows = [
        [
            tile(shown.drawn.first[i], 80),
            tile(shown.drawn.second[i], 80),
            *(
                tile(shown.pictures[Setting(soft_guidance=mode, swapped=turned).id][i], 80)
                for turned in (False, True)
                for mode in MODES
            ),
        ]
        for i in range(min(ROWS, len(shown.drawn.first)))
    ]
    each = [text.replace("\n", " ").partition(" (")[0] for text in MODES.values()]
    heads = ["A", "B", *(f"A before B\n{x}" for x in each), *(f"B before A\n{x}" for x in each)]
    return stacked([chart, grid(rows, heads, after=(1, 4))])


def _dots(record: StudyRecord, metric: str, index: int) -> Curve:
    points: list[Point] = []
    for x, mode in enumerate(MODES):
        found = record.of(mode).metric(metric)
        ends = (None, None)
        if found.interval is not None:
            ends = (found.interval.low, found.interval.high)
        points.append(Point(x + 0.08 * (index - 1), found.value, *ends))
    return Curve(CURVES[metric], points, index, joined=False)


STUDY = Study(
    name="cnc-leakage",
    summary="whether each exemplar is seen in its own region only: attention masked, "
    "multiplied, or left alone",
    series={
        mode: tuple(Setting(soft_guidance=mode, swapped=turned) for turned in (False, True))
        for mode in MODES
    },
    contrasts=[
        Contrast(metric=metric, a=a, b=b)
        for metric in CURVES
        for a, b in (("mask", "off"), ("paper", "off"), ("mask", "paper"))
    ],
    figure=draw,
)
