"""Depth and exemplars in two layers and a prompt (Tables 1 to 3 of CnC).

All that is known of a scene is given, so its very picture can be asked for; methods are ranked by
how far its depth is met, as in `cnc-depth`, so that what exemplars cost or bring can be read off.
"""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Suite
from compose_benchmarks.suites import said
from compose_benchmarks.suites.layers import Layers

SUITE = Suite(
    name="cnc-both",
    summary="depth and exemplars of a foreground and of what is behind it",
    start=22_000_000,
    choose=said.grouped,
    write=Layers(maps="depth", looks=True),
    scorers=(
        scorers.depth,
        scorers.similarity,
        scorers.features,
        scorers.clip,
        scorers.objects,
    ),
    primary="depth-mae@tiny-v1",
    n=512,
)
