"""Numbers: two to four objects, often equal ones that have to be counted."""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Suite
from compose_benchmarks.suites import said
from compose_worlds.primitives.draw import Taste

SUITE = Suite(
    name="regional-numeracy",
    summary="as many objects of each kind as the caption counts",
    start=14_000_000,
    taste=Taste(counts=(0.0, 0.4, 0.35, 0.25), equal=0.6, stacked=0.0),
    choose=said.grouped,
    scorers=(scorers.numeracy, scorers.objects, scorers.clip),
    primary="compbench-numeracy@tiny-v1",
)
