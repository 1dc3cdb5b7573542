"""``compose bench`` where no package brings it: says what is missing."""

from __future__ import annotations

import argparse

from compose_core.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Take anything: the arguments belong to the missing package."""
    parser.add_argument("arguments", nargs="*", help="list | run SUITE | table")


def run(args: argparse.Namespace) -> int:
    """Explain; never succeeds."""
    raise UsageError(
        "the benchmarks are not installed",
        got="no package provides `compose bench`",
        expected="the benchmarks of the repository",
        remedy="from a clone of the repository: pip install ./benchmarks",
    )
