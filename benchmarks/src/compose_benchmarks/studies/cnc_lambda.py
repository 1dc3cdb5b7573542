"""Compose and Conquer under growing lambda of the background (paper, appendix A.4, figure 16).

Two exemplars that contradict each other, one depth map for both streams, no prompt.
"""

from __future__ import annotations

from PIL import Image

from compose_benchmarks.studies.chart import Curve, Point, curves, grid, stacked, tile
from compose_benchmarks.studies.record import StudyRecord
from compose_benchmarks.studies.study import Contrast, Setting, Shown, Study
from compose_cnc.attention import SoftGuidance

__all__ = ["LAMBDAS", "STUDY"]

LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
MODES: tuple[SoftGuidance, ...] = ("mask", "off")
CURVES = {"localized-cosine": "both", "fg-cosine": "foreground", "bg-cosine": "background"}
"""What the figure shows, and what it is called there."""

ROWS = 3
"""Pairs whose pictures the figure shows."""


def name(mode: str, factor: float) -> str:
    """What a series is called."""
    return f"{mode}, lambda_bg {factor:g}"


def draw(record: StudyRecord, shown: Shown) -> Image.Image:
    """The curves with and without soft guidance, and what the first pairs look like."""
    parts: list[Image.Image] = []
    both = {mode: [_curve(record, mode, x, i) for i, x in enumerate(CURVES)] for mode in MODES}
    every = [one for some in both.values() for one in some]
    for mode in MODES:
        guided = "with soft guidance" if mode == "mask" else "without soft guidance"
        marks = [(x, f"{x:g}") for x in LAMBDAS]
        title = f"cosine of parts of the picture with their exemplars, {guided}"
        axis = "lambda of the background's exemplar"
        parts.append(curves(title, both[mode], marks, axis, (860, 300), beside=every))
        settings = [Setting(soft_guidance=mode, lambda_bg=x) for x in LAMBDAS]
        rows = [
            [
                tile(shown.drawn.first[i], 72),
                tile(shown.drawn.second[i], 72),
                *(tile(shown.pictures[one.id][i], 72) for one in settings),
            ]
            for i in range(min(ROWS, len(shown.drawn.first)))
        ]
        heads = ["fore-\nground", "back-\nground", *(f"{x:g}" for x in LAMBDAS)]
        parts.append(grid(rows, heads, after=(1,)))
    return stacked(parts)


def _curve(record: StudyRecord, mode: str, metric: str, color: int) -> Curve:
    points: list[Point] = []
    for x in LAMBDAS:
        found = record.of(name(mode, x)).metric(metric)
        ends = (None, None)
        if found.interval is not None:
            ends = (found.interval.low, found.interval.high)
        points.append(Point(x, found.value, *ends))
    return Curve(CURVES[metric], points, color)


STUDY = Study(
    name="cnc-lambda",
    summary="what a louder exemplar of the background does to each region, with soft guidance "
    "and without",
    series={
        name(mode, x): (Setting(soft_guidance=mode, lambda_bg=x),)
        for mode in MODES
        for x in LAMBDAS
    },
    contrasts=[
        *(
            Contrast(metric=metric, a=name(mode, x), b=name(mode, 1.0))
            for metric in ("fg-cosine", "fg-margin", "bg-cosine", "bg-margin")
            for mode in MODES
            for x in LAMBDAS
            if x != 1
        ),
        *(
            Contrast(metric=metric, a=name("mask", x), b=name("off", x))
            for metric in ("localized-cosine", "fg-margin", "localized-margin")
            for x in LAMBDAS
        ),
    ],
    figure=draw,
)
