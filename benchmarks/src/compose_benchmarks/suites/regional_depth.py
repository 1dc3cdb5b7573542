"""Order in depth: one object behind or in front of another."""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Promise, Suite
from compose_benchmarks.suites import said
from compose_worlds.primitives.captions import Claim
from compose_worlds.primitives.draw import Taste
from compose_worlds.primitives.world import Scene as Drawn


def choose(source: int, drawn: Drawn, claims: tuple[Claim, ...]) -> Promise | None:
    """Two objects that differ, one clearly nearer and not far to the side."""
    return said.pair(source, drawn, claims, said.IN_DEPTH) if said.unlike(claims) else None


SUITE = Suite(
    name="regional-depth",
    summary="of two objects the one that should be in front is nearer",
    start=13_000_000,
    taste=Taste(counts=(0.0, 1.0, 0.0, 0.0), equal=0.0, stacked=0.0),
    choose=choose,
    scorers=(
        scorers.spatial_depth,
        scorers.depth_order,
        scorers.relation,
        scorers.objects,
        scorers.clip,
    ),
    primary="compbench-spatial-3d@tiny-v1",
)
