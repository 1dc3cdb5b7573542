"""Quality: how much pictures look like those of the world, and like their captions."""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Suite
from compose_benchmarks.suites import said

SUITE = Suite(
    name="quality",
    summary="distance to renders of the world, and agreement with captions",
    start=16_000_000,
    choose=said.grouped,
    scorers=(scorers.features, scorers.clip),
    primary="fid@tiny-v1",
)
