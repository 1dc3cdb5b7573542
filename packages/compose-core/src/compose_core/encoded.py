"""Encoded conditions: named tensors with one batch axis; what a network receives.

A condition (text, depth, an exemplar...) is encoded once, before sampling. What is left of it is
a handful of tensors whose axis 0 is the batch. `Encoded` keeps them together, so that a network
takes one argument however many conditions it knows, and so that questions of different parts can
be laid end to end in one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError

Signature = tuple[tuple[str, tuple[int, ...], torch.dtype], ...]
"""Names, shapes without the batch axis, and dtypes of an `Encoded`, sorted by name."""


@final
class Encoded(Mapping[str, Tensor]):
    """An immutable mapping from a name to a tensor `(B, ...)`, with one `B` for all of them.

    Usual names are `"text"` `(B, L, D)` and `"control"` `(B, 3, H, W)`; a network documents the
    ones it reads. An empty `Encoded` has batch 1 and fits any batch.

    Args:
        tensors: The named tensors; each has at least the batch axis.
        **named: More of them, for short calls: `Encoded(text=embeddings)`.

    Raises:
        ShapeError: A tensor has no batch axis, or two batches differ.
    """

    __slots__ = ("_signature", "_tensors")

    def __init__(self, tensors: Mapping[str, Tensor] | None = None, **named: Tensor) -> None:
        """Keep the tensors, and check that they share axis 0."""
        merged = {**(tensors or {}), **named}
        batches = {name: value.shape[0] if value.dim() else None for name, value in merged.items()}
        if len(set(batches.values())) > 1 or None in batches.values():
            raise ShapeError(
                "the tensors of an Encoded must share one batch axis",
                got={name: tuple(value.shape) for name, value in merged.items()},
                expected="the same length of axis 0 in each",
                remedy="expand the tensors to the same batch first",
            )
        self._tensors: dict[str, Tensor] = merged
        self._signature: Signature | None = None

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of that name, `(B, ...)`."""
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        """The names, in the order in which they were given."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """The number of tensors (not the batch)."""
        return len(self._tensors)

    def __hash__(self) -> int:
        """By identity: two questions are identical when they hold the same object."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """By identity, because comparing tensors by value has no single truth."""
        return self is other

    def __repr__(self) -> str:
        """The names and shapes."""
        shapes = ", ".join(f"{name}={tuple(value.shape)}" for name, value in self.items())
        return f"Encoded({shapes})"

    @property
    def batch(self) -> int:
        """The length of axis 0; 1 when empty."""
        return next((value.shape[0] for value in self.values()), 1)

    def signature(self) -> Signature:
        """Names, shapes without the batch axis, and dtypes: equal ones can share a batch."""
        if self._signature is None:
            self._signature = tuple(
                (name, tuple(value.shape[1:]), value.dtype)
                for name, value in sorted(self._tensors.items())
            )
        return self._signature

    def select(self, rows: slice | Sequence[int] | Tensor) -> Encoded:
        """The samples at `rows`: a slice (a view), or indices (a copy)."""
        key = rows if isinstance(rows, (slice, Tensor)) else list(rows)
        return Encoded({name: value[key] for name, value in self.items()})

    def expand(self, batch: int) -> Encoded:
        """The same condition for `batch` samples, without a copy.

        Raises:
            ShapeError: The batch is neither 1 nor `batch` already.
        """
        if not self._tensors or self.batch == batch:
            return self
        if self.batch != 1:
            raise ShapeError(
                "a condition does not fit the batch",
                got=f"{self.batch} encoded samples",
                expected=f"1 or {batch}",
                remedy="encode one condition for all samples, or one for each",
            )
        return Encoded({k: v.expand(batch, *v.shape[1:]) for k, v in self.items()})

    def repeat(self, times: int) -> Encoded:
        """The whole batch `times` times end to end: `a b` becomes `a b a b`."""
        return Encoded.cat([self] * times)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Encoded:
        """Every tensor on `device`; those with floating point also in `dtype`."""
        return Encoded(
            {
                name: value.to(device, dtype if value.is_floating_point() else None)
                for name, value in self.items()
            }
        )

    @staticmethod
    def cat(parts: Sequence[Encoded]) -> Encoded:
        """The samples of all `parts`, end to end.

        Raises:
            ShapeError: There are none, or their signatures differ.
        """
        if len(parts) == 1:
            return parts[0]
        if len({part.signature() for part in parts}) != 1:
            raise ShapeError(
                "only conditions with the same names and shapes can share a batch",
                got=list(parts),
                expected="at least one, and one signature",
                remedy="evaluate them in separate groups",
            )
        return Encoded({name: torch.cat([p[name] for p in parts]) for name in parts[0]})
