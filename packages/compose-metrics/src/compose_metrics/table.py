"""Rows of numbers under sample numbers, from which everything is computed in sorted order.

Sums of floats depend on the order of their terms. A metric that keeps its rows and adds them up in
the order of their keys gives the same bytes whatever the batches, shards and processes were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ComposeError, ShapeError, UsageError

KEYS = "keys"


@final
class Table:
    """Named columns, one row per sample number.

    Args:
        owner: Whose rows these are, for messages.
        infinite: Whether infinite values may be stored; NaN never.
    """

    def __init__(self, owner: str, *, infinite: bool = False) -> None:
        self._owner = owner
        self._infinite = infinite
        self._known: set[int] = set()
        self._chunks: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._known)

    def blank(self) -> Table:
        """An empty table with the same settings."""
        return Table(self._owner, infinite=self._infinite)

    def numbered(self, keys: Sequence[int] | Tensor | None, count: int) -> Tensor:
        """Sample numbers (count,) int64: those given, or the next ones of a running count."""
        if keys is None:
            start = max(self._known, default=-1) + 1
            return torch.arange(start, start + count)
        numbers = torch.as_tensor(keys)
        if numbers.dim() != 1 or len(numbers) != count or numbers.is_floating_point():
            raise ShapeError(
                f"keys of {self._owner} do not number its samples",
                got=f"{numbers.dtype} {tuple(numbers.shape)}",
                expected=f"{count} integers, one per sample",
            )
        return numbers.detach().to("cpu", torch.int64, copy=True)

    def add(self, keys: Sequence[int] | Tensor | None, **columns: Tensor) -> None:
        """Append rows; nothing is kept when they are refused.

        Args:
            keys: Sample numbers (B,), or None for a running count.
            columns: Tensors (B, ...); the first call decides the names.

        Raises:
            ShapeError: Lengths or names differ.
            UsageError: A sample number is there already.
            ComposeError: A value is NaN (or infinite).
        """
        self.append(self.admit(keys, **columns))

    def admit(self, keys: Sequence[int] | Tensor | None, **columns: Tensor) -> dict[str, Tensor]:
        """Check rows without keeping them; raises as `add` does. `append` takes the answer."""
        counts = {name: len(column) for name, column in columns.items()}
        if not counts or len(set(counts.values())) != 1:
            raise ShapeError(f"columns of {self._owner} differ in length", got=counts)
        numbers = self.numbered(keys, next(iter(counts.values())))
        kept = {name: _kept(column) for name, column in columns.items()}
        self._check_columns(kept)
        self._check_new(numbers)
        self._check_finite(numbers, kept)
        return {KEYS: numbers, **kept}

    def append(self, admitted: dict[str, Tensor]) -> None:
        """Keep what `admit` let pass."""
        self._known.update(admitted[KEYS].tolist())
        self._chunks.append(admitted)

    def sorted(self) -> dict[str, Tensor]:
        """All columns and ``keys``, ascending by key; empty when nothing is there."""
        if not self._chunks:
            return {}
        whole = {
            name: torch.cat([chunk[name] for chunk in self._chunks]) for name in self._chunks[0]
        }
        if len(self._chunks) > 1 or bool((whole[KEYS].diff() < 0).any()):
            order = torch.argsort(whole[KEYS])
            whole = {name: column[order] for name, column in whole.items()}
            self._chunks = [whole]
        return dict(whole)

    def absorb(self, state: Mapping[str, Tensor]) -> None:
        """Add the rows of another table's ``sorted()``."""
        if state:
            columns = {name: column for name, column in state.items() if name != KEYS}
            self.add(state[KEYS], **columns)

    def clear(self) -> None:
        """Forget every row."""
        self._known.clear()
        self._chunks.clear()

    def _check_columns(self, columns: Mapping[str, Tensor]) -> None:
        if not self._chunks:
            return
        shapes = {name: tuple(column.shape[1:]) for name, column in columns.items()}
        first = self._chunks[0]
        known = {name: tuple(first[name].shape[1:]) for name in first if name != KEYS}
        if shapes != known:
            raise ShapeError(
                f"rows of {self._owner} differ from earlier ones", got=shapes, expected=known
            )

    def _check_new(self, numbers: Tensor) -> None:
        values = numbers.tolist()
        doubled = sorted({key for key in values if key in self._known})
        if not doubled and len(set(values)) < len(values):
            doubled = sorted({key for key in values if values.count(key) > 1})
        if doubled:
            raise UsageError(
                f"{self._owner} already holds some of these samples",
                got=f"sample numbers {listed(doubled)}",
                expected="every sample once",
                remedy="give each sample a number of its own with keys=, also across shards",
            )

    def _check_finite(self, numbers: Tensor, columns: Mapping[str, Tensor]) -> None:
        for name, column in columns.items():
            if not column.is_floating_point():
                continue
            bad = column.isnan() if self._infinite else ~column.isfinite()
            rows = bad.flatten(1).any(1) if bad.dim() > 1 else bad
            if bool(rows.any()):
                raise ComposeError(
                    f"{self._owner} got {name} that are not finite numbers",
                    got=f"samples {listed(numbers[rows].tolist())}",
                    remedy="look at these samples; leave them out if they cannot be mended",
                )


def listed(keys: Sequence[int], most: int = 8) -> str:
    """The first few of ``keys`` and how many more there are."""
    text = ", ".join(map(str, keys[:most]))
    return text if len(keys) <= most else f"{text} and {len(keys) - most} more"


def _kept(column: Tensor) -> Tensor:
    """A copy on the CPU that later changes cannot reach; halves become float32."""
    half = column.dtype in (torch.float16, torch.bfloat16)
    return column.detach().to("cpu", torch.float32 if half else column.dtype, copy=True)
