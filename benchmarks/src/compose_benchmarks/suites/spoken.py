"""Scenes whose prompt says everything and whose layers say where each phrase of it belongs.

This is how models of layouts are told: the caption, and boxes for phrases that stand in it. The
suites of `compose_benchmarks.suites.regional_*` give layers whole prompts of their own instead,
the place included, as methods do that denoise each layer by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from compose_benchmarks import scorers
from compose_benchmarks.items import Item
from compose_benchmarks.suite import Source, Suite, boxes
from compose_benchmarks.suites import (
    quality,
    regional_attributes,
    regional_complex,
    regional_depth,
    regional_numeracy,
    regional_spatial,
)

__all__ = ["ATTRIBUTES", "COMPLEX", "DEPTH", "NUMERACY", "QUALITY", "SPATIAL", "spoken"]


def spoken(number: int, source: Source) -> Sequence[Item]:
    """One item: the caption, and a box for "red sphere" of each object."""
    (made,) = boxes(number, source)
    solids = zip(made.scene.layers[1:], made.drawn.solids, strict=True)
    layers = tuple(
        layer.model_copy(update={"prompt": f"{solid.color} {solid.shape}"})
        for layer, solid in solids
    )
    return (replace(made, scene=made.scene.model_copy(update={"layers": layers})),)


def _told(suite: Suite, name: str, start: int) -> Suite:
    """A suite of the same kind on other scenes, told by phrases, which also measures realism."""
    extra = (scorers.placed, scorers.objects, scorers.features, scorers.clarity)
    seen = (*suite.scorers, *(s for s in extra if s not in suite.scorers))
    return replace(suite, name=f"realcompo-{name}", start=start, write=spoken, scorers=seen, n=512)


ATTRIBUTES = _told(regional_attributes.SUITE, "attributes", 31_000_000)
SPATIAL = replace(
    _told(regional_spatial.SUITE, "spatial", 32_000_000),
    rivals=("realcompo-v2", "realcompo-v3", "realcompo-v4", "realcompo-crayon"),
)
DEPTH = _told(regional_depth.SUITE, "depth", 33_000_000)
NUMERACY = _told(regional_numeracy.SUITE, "numeracy", 34_000_000)
COMPLEX = _told(regional_complex.SUITE, "complex", 35_000_000)
QUALITY = _told(quality.SUITE, "quality", 36_000_000)
