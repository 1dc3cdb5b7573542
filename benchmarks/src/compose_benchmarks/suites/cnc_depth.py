"""Depth in two layers and a prompt (the structure rows of Tables 1 and 2 of CnC).

Methods are ranked by the depth that the judge reads in their pictures: depth is all that layers
say here, and what they say is the depth of a known scene.
"""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Suite
from compose_benchmarks.suites import said
from compose_benchmarks.suites.layers import Layers

SUITE = Suite(
    name="cnc-depth",
    summary="depth of a foreground and of what is behind it",
    start=20_000_000,
    choose=said.grouped,
    write=Layers(maps="depth"),
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
