"""How music holds together up to twenty times the length that coordinators were taught."""

from __future__ import annotations

from dataclasses import replace

from compose_benchmarks.trials.dde_music import METHODS
from compose_benchmarks.trials.dde_music import TRIAL as MUSIC

__all__ = ["TRIAL"]

TRIAL = replace(
    MUSIC,
    name="dde-length",
    summary="music of 5 to 100 windows, of which coordinators were taught 5",
    methods={name: METHODS[name] for name in ("dde", "multidiffusion", "real")},
    settings=(5, 20, 50, 100),
    n=8,
)
