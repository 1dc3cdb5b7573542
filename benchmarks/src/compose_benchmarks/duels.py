"""Two methods picture by picture: on the same scenes and seeds, which is better how often?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from compose_benchmarks.board import Board
from compose_benchmarks.record import Record
from compose_core.errors import UsageError
from compose_metrics.intervals import wilson
from compose_metrics.result import Interval

__all__ = ["Duel", "champion", "duel", "sign_test"]


@dataclass(frozen=True)
class Duel:
    """How often one method did better than another.

    Attributes:
        metric: That says what is better.
        won: Scenes on which the first did better.
        lost: Scenes on which the second did.
        tied: Scenes with the same value.
    """

    metric: str
    won: int
    lost: int
    tied: int

    @property
    def n(self) -> int:
        """Scenes."""
        return self.won + self.lost + self.tied

    @property
    def share(self) -> float:
        """Of the scenes that decide, those that were won; a half where none decides."""
        return self.won / (self.won + self.lost) if self.won + self.lost else 0.5

    @property
    def interval(self) -> Interval | None:
        """Wilson's, of `share`."""
        return wilson(self.won, self.won + self.lost) if self.won + self.lost else None

    @property
    def p(self) -> float:
        """Of the sign test: the chance of a result as uneven, were both equally good."""
        return sign_test(self.won, self.lost)


def sign_test(won: int, lost: int) -> float:
    """Two-sided exact p of as many wins, each by the toss of a coin; 1 without any."""
    n = won + lost
    fewer = min(won, lost)
    return min(1.0, 2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n)


def duel(first: Record, second: Record, metric: str) -> Duel | None:
    """Compare two records of one board; None where a metric has no value for each picture.

    Raises:
        UsageError: They are not of the same items.
    """
    if first.task.items_sha256 != second.task.items_sha256:
        raise UsageError(
            "only pictures of the same scenes can be compared one by one",
            got=f"{first.task.name} of {first.task.n} and {second.task.name} of {second.task.n}",
        )
    a, b = first.metric(metric), second.metric(metric)
    if a is None or b is None or not a.per_sample or not b.per_sample:
        return None
    sign = 1 if a.higher_is_better else -1
    gains = [sign * (x - y) for x, y in zip(a.per_sample, b.per_sample, strict=True)]
    won, lost = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return Duel(metric, won, lost, len(gains) - won - lost)


def champion(board: Board) -> Record:
    """Whom others are compared with: the method that a suite is named after, else the first."""
    named: Sequence[Record] = [
        row.record for row in board.rows if board.suite.startswith(f"{row.record.method.name}-")
    ]
    return max(named, key=lambda one: len(one.method.name), default=board.rows[0].record)
