"""Who is in front: two objects that overlap, in both orders, whatever their depth says.

Depth is no order: of two maps with nearly the same values, or with values against the order that
is asked for, a map merged of both cannot tell who covers whom; see `overlapping`.
"""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Suite
from compose_benchmarks.suites import overlapping, said
from compose_benchmarks.suites.order_seen import order_seen

SUITE = Suite(
    name="cnc-ordering",
    summary="of two objects that overlap the one of the larger z covers the other",
    start=24_000_000,
    choose=said.each,
    invent=overlapping.invent,
    write=overlapping.write,
    scorers=(order_seen, scorers.objects, scorers.clip),
    primary="order@tiny-v1",
    n=512,
    quick=12,
    minimum=6,
)
