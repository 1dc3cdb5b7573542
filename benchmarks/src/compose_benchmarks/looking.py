"""Metrics that look through a network of the benchmarks."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from compose_benchmarks.judges import Clip, Judge
from compose_metrics.metric import PerSample
from compose_metrics.result import Source

__all__ = ["Compared", "Judged"]


class Judged(PerSample, ABC):
    """A metric that looks through the judge; `name` is its id without it."""

    name: ClassVar[str]

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge
        self.id = judge.source.metric(self.name)

    def extractor_source(self) -> Source:
        """The judge."""
        return self.judge.source


class Compared(PerSample, ABC):
    """A metric that looks through CLIP; `name` is its id without it."""

    name: ClassVar[str]

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip
        self.id = clip.source.metric(self.name)

    def extractor_source(self) -> Source:
        """The towers."""
        return self.clip.source
