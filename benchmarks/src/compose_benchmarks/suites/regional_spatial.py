"""Relations in the plane: one object left or right of another."""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Promise, Suite
from compose_benchmarks.suites import said
from compose_worlds.primitives.captions import Claim
from compose_worlds.primitives.draw import Taste
from compose_worlds.primitives.world import Scene as Drawn


def choose(source: int, drawn: Drawn, claims: tuple[Claim, ...]) -> Promise | None:
    """Two objects that differ, side by side."""
    return said.pair(source, drawn, claims, said.SIDEWAYS) if said.unlike(claims) else None


SUITE = Suite(
    name="regional-spatial",
    summary="two objects stand left and right as the caption says",
    start=12_000_000,
    taste=Taste(counts=(0.0, 1.0, 0.0, 0.0), equal=0.0, stacked=0.0),
    choose=choose,
    scorers=(scorers.spatial, scorers.relation, scorers.objects, scorers.clip),
    primary="compbench-spatial-2d@tiny-v1",
)
