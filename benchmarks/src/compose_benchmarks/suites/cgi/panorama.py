"""Three views of one wide picture: each shows its object, all one place, and no seam is seen."""

from __future__ import annotations

from compose_benchmarks.suite import Suite
from compose_benchmarks.suites import said
from compose_benchmarks.suites.cgi import wide, wide_seen
from compose_worlds.primitives.draw import Taste

SUITE = Suite(
    name="cgi-panorama",
    summary="three views side by side, each with an object of its own, in one place",
    start=41_000_000,
    taste=Taste(counts=(1.0, 0.0, 0.0, 0.0), sizes=0.0),
    choose=said.each,
    write=wide.write,
    scorers=(wide_seen.views, wide_seen.together, wide_seen.seams, wide_seen.features),
    primary="views@tiny-v1",
    rivals=(
        "multidiffusion",
        "diffcollage",
        "spotdiffusion",
        "syncdiffusion",
        "views-apart",
        "cgi-kappa-50",
        "cgi-kappa-70",
        "cgi-kappa-85",
    ),
)
