"""Attribute binding: two or three objects, no two of one colour or shape."""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Promise, Suite
from compose_benchmarks.suites import said
from compose_worlds.primitives.captions import Claim
from compose_worlds.primitives.draw import Taste
from compose_worlds.primitives.world import Scene as Drawn


def choose(source: int, drawn: Drawn, claims: tuple[Claim, ...]) -> Promise | None:
    """Scenes in which colours could be swapped, and every swap would be seen."""
    return said.each(source, drawn, claims) if said.unlike(claims) else None


SUITE = Suite(
    name="regional-attributes",
    summary="colours and shapes of two or three objects stay with their objects",
    start=11_000_000,
    taste=Taste(counts=(0.0, 0.6, 0.4, 0.0), equal=0.0, stacked=0.0),
    choose=choose,
    scorers=(scorers.attributes, scorers.objects, scorers.clip),
    primary="compbench-color@tiny-v1",
)
