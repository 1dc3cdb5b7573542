"""Suites, a runner that can be stopped at any time, result records and leaderboards."""

from compose_benchmarks._version import __version__

__all__ = ["__version__"]
