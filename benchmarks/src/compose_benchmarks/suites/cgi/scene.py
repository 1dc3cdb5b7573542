"""An object before a background: the picture, and both of them by themselves.

The background is asked for empty, the object in its region. Pictures are judged as those of any
method; of methods that also give the background and the object by themselves, these are looked at.
"""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Suite
from compose_benchmarks.suites import said
from compose_benchmarks.suites.cgi import before, layers_seen
from compose_worlds.primitives.draw import Taste

SUITE = Suite(
    name="cgi-scene",
    summary="an object in its region, before a background that is whole behind it",
    start=43_000_000,
    taste=Taste(counts=(1.0, 0.0, 0.0, 0.0), sizes=0.0),
    choose=said.each,
    write=before.write,
    scorers=(
        layers_seen.inside,
        scorers.objects,
        scorers.clip,
        scorers.features,
        layers_seen.borders,
        layers_seen.backgrounds,
        layers_seen.identity,
    ),
    primary="inside@tiny-v1",
    beside=True,
    rivals=(
        "multidiffusion",
        "views-apart",
        "same-noise",
        "cgi-shared-noise",
        "cgi-kappa-50",
        "cgi-kappa-70",
        "cgi-kappa-85",
    ),
)
