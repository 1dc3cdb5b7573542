"""Which process makes which groups of items."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compose_core.errors import UsageError

__all__ = ["Share", "groups"]


@dataclass(frozen=True)
class Share:
    """One process among several.

    Attributes:
        rank: Which one, from 0.
        count: How many there are.
        local: Which one on its machine; chooses its GPU.

    Raises:
        UsageError: The rank is none of `count`.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    def __post_init__(self) -> None:
        """Refuse a rank that does not exist."""
        if not 0 <= self.rank < self.count:
            raise UsageError(
                "the rank is none of the processes",
                got=f"rank {self.rank} of {self.count}",
                expected="0 <= RANK < WORLD_SIZE",
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Share:
        """What `accelerate launch` and `torchrun` say: RANK, WORLD_SIZE, LOCAL_RANK.

        Raises:
            UsageError: They are no numbers, or do not fit together.
        """
        given = [environment.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
        try:
            rank, count = int(given[0] or 0), int(given[1] or 1)
            return cls(rank, count, int(given[2] or rank))
        except ValueError as error:
            raise UsageError(
                "the launcher's variables make no sense",
                got=f"RANK={given[0]!r}, WORLD_SIZE={given[1]!r}, LOCAL_RANK={given[2]!r}",
                expected="numbers, or none of them",
            ) from error

    def mine(self, every: Sequence[range]) -> list[range]:
        """The groups of this process: every `count`-th one."""
        return list(every[self.rank :: self.count])

    def device(self, name: str) -> str:
        """The device of this process: one GPU each when several are asked for by `cuda`."""
        return f"cuda:{self.local}" if name == "cuda" and self.count > 1 else name


def groups(n: int, size: int) -> list[range]:
    """The micro-batches of `n` items: fixed groups of item numbers, whoever makes them."""
    return [range(start, min(start + size, n)) for start in range(0, n, size)]
