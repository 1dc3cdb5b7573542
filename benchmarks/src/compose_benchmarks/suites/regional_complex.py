"""Everything at once: three or four objects, their colours and shapes, and a relation."""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Promise, Suite
from compose_benchmarks.suites import said
from compose_worlds.primitives.captions import Claim
from compose_worlds.primitives.draw import Taste
from compose_worlds.primitives.world import Scene as Drawn


def choose(source: int, drawn: Drawn, claims: tuple[Claim, ...]) -> Promise | None:
    """Objects of different kinds, two of them side by side."""
    different = len(set(claims)) == len(claims)
    return said.pair(source, drawn, claims, said.SIDEWAYS) if different else None


SUITE = Suite(
    name="regional-complex",
    summary="three or four objects with colours, shapes and a relation",
    start=15_000_000,
    taste=Taste(counts=(0.0, 0.0, 0.6, 0.4), equal=0.0, stacked=0.0),
    choose=choose,
    scorers=(scorers.mixed, scorers.relation, scorers.objects, scorers.clip),
    primary="compbench-complex@tiny-v1",
)
