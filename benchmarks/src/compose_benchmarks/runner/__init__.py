"""Making the pictures of a suite: resumable, shardable, one atomic file per item."""

from compose_benchmarks.runner.execute import Job, Outcome, Run, make, prepare
from compose_benchmarks.runner.share import Share

__all__ = ["Job", "Outcome", "Run", "Share", "make", "prepare"]
