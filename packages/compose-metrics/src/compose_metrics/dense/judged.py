"""Bases of metrics over maps that a network read in the pictures.

A depth error seen through one estimator is not comparable with that through another, so the
network belongs to the name: `depth-mae@tiny-v1`. Without one the maps were given, not read.
"""

from __future__ import annotations

from compose_metrics.metric import PerSample, Rows
from compose_metrics.result import Source


class ReadRows(Rows):
    """Rows of numbers about maps.

    Args:
        judge: The network that read the maps, if one did.
    """

    def __init__(self, judge: Source | None = None) -> None:
        super().__init__()
        self.judge = judge
        if judge is not None:
            self.id = judge.metric(self.id)

    def extractor_source(self) -> Source | None:
        """The judge."""
        return self.judge


class ReadPerSample(ReadRows, PerSample):
    """The mean of one value per map, see `ReadRows`."""
