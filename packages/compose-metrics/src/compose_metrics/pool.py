"""What a network saw, kept once for all the metrics that compare sets of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, final

from torch import Tensor

from compose_core.errors import UsageError
from compose_metrics.extractor import Extractor, Features
from compose_metrics.metric import Keys
from compose_metrics.statistics import Statistics
from compose_metrics.table import KEYS, Table

T = TypeVar("T")


@final
class Pool:
    """Features of generated and of reference pictures, shared by the metrics that need them.

    Args:
        extractor: The network.
        known: Statistics of the reference set, when it is not shown picture by picture.

    Attributes:
        shared: Whether it belongs to a `FeatureMetrics`.

    Raises:
        UsageError: The statistics are of another network.
    """

    def __init__(self, extractor: Extractor, known: Statistics | None = None) -> None:
        if known is not None:
            known.header.check(extractor)
        self.extractor = extractor
        self.known = known
        self.shared = False
        self.generated = Table("the generated set")
        self.reference = Table("the reference set")
        self._cache: dict[tuple[Any, ...], Any] = {}

    def blank(self) -> Pool:
        """An empty pool with the same network and the same known statistics."""
        return Pool(self.extractor, self.known)

    @property
    def n_reference(self) -> int:
        """How many reference pictures there are."""
        return self.known.header.n if self.known else len(self.reference)

    def update(
        self,
        generated: Tensor | Features | None,
        reference: Tensor | Features | None,
        keys: Keys,
        reference_keys: Keys,
    ) -> None:
        """Take pictures, or features that were extracted before; both sets or none."""
        if reference is not None and self.known is not None:
            raise UsageError(
                "the reference set is known already",
                got="reference pictures besides reference statistics",
                expected="one of the two",
            )
        both = ((self.generated, generated, keys), (self.reference, reference, reference_keys))
        admitted = [
            (table, table.admit(numbers, **_columns(self.extractor.seen(samples))))
            for table, samples, numbers in both
            if samples is not None
        ]
        self._keep(admitted)

    def remember(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What ``make`` gives, kept until the next update: costly parts are computed once."""
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def state(self) -> dict[str, Tensor]:
        """Both tables, as tensors."""
        return {
            f"{side}.{name}": column
            for side, table in self._sides().items()
            for name, column in table.sorted().items()
        }

    def absorb(self, state: Mapping[str, Tensor]) -> None:
        """Add the rows of another pool."""
        admitted: list[tuple[Table, dict[str, Tensor]]] = []
        for side, table in self._sides().items():
            start = f"{side}."
            rows = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
            if rows:
                admitted.append((table, table.admit(rows.pop(KEYS), **rows)))
        self._keep(admitted)

    def clear(self) -> None:
        """Forget all features but those of the known statistics."""
        self._cache.clear()
        self.generated.clear()
        self.reference.clear()

    def _sides(self) -> dict[str, Table]:
        return {"generated": self.generated, "reference": self.reference}

    def _keep(self, admitted: Sequence[tuple[Table, dict[str, Tensor]]]) -> None:
        self._cache.clear()
        for table, rows in admitted:
            table.append(rows)


def _columns(seen: Features) -> dict[str, Tensor]:
    columns = {"features": seen.features}
    return columns if seen.logits is None else columns | {"logits": seen.logits}
