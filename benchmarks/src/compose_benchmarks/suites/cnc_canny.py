"""Edges in two layers and a prompt (Table 4 of CnC); they stand in the layers' depth files.

A method that takes them for depth is misled, which the table then shows: compare those that were
made for edges, and those that look at no maps.
"""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Suite
from compose_benchmarks.suites import said
from compose_benchmarks.suites.layers import Layers

SUITE = Suite(
    name="cnc-canny",
    summary="edges, given as depth, of a foreground and of what is behind it",
    start=23_000_000,
    choose=said.grouped,
    write=Layers(maps="edges"),
    scorers=(
        scorers.features,
        scorers.similarity,
        scorers.depth,
        scorers.clip,
        scorers.objects,
    ),
    primary="lpips@tiny-v1",
    n=512,
)
