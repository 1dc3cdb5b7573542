"""Reconstruction: how near a picture comes to the very scene that its layout was taken from."""

from __future__ import annotations

from compose_benchmarks import scorers
from compose_benchmarks.suite import Suite
from compose_benchmarks.suites import said

SUITE = Suite(
    name="reconstruction",
    summary="similarity to the render, and to the depth, of the scene behind the layout",
    start=17_000_000,
    choose=said.grouped,
    scorers=(scorers.similarity, scorers.depth),
    primary="ssim",
)
