"""Exemplars in two regions and a prompt (the semantics rows of Tables 1 and 2 of CnC).

Methods are ranked by the distance of their pictures to those of the world, as in the paper: where
objects stand is left open but for the mask, so no single picture is the right one.
"""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Suite
from compose_benchmarks.suites import said
from compose_benchmarks.suites.layers import Layers

SUITE = Suite(
    name="cnc-semantics",
    summary="exemplars of a foreground and of what is behind it",
    start=21_000_000,
    choose=said.grouped,
    write=Layers(looks=True),
    scorers=(
        scorers.features,
        scorers.clip,
        scorers.similarity,
        scorers.depth,
        scorers.objects,
    ),
    primary="fid@tiny-v1",
    n=512,
)
