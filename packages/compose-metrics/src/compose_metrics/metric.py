"""The one protocol of all metrics: ``update``, ``compute``, ``merge``, ``reset``, ``state_dict``.

A metric takes samples in any batches. What it keeps can be saved, sent to other processes and
merged. Results do not depend on the order of the samples, on the batches or on the shards: exactly
where rows or integers are kept, up to rounding where floats are summed.
"""

from __future__ import annotations

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, cast, runtime_checkable

import torch
from torch import Tensor, distributed

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.intervals import mean_interval
from compose_metrics.processes import of_everyone
from compose_metrics.result import JSON, Result, Source
from compose_metrics.table import KEYS, Table

Keys = Sequence[int] | Tensor | None
"""Sample numbers of a batch; None counts on from the largest so far."""

FINGERPRINT = "fingerprint"
SIZE = "size"
"""A column of heights and widths (B, 2); where a metric keeps it, results say them."""


@runtime_checkable
class Store(Protocol):
    """Something that a metric keeps its samples in."""

    def blank(self) -> Self:
        """An empty store with the same settings."""
        ...


class Metric(ABC):
    """Something that samples are shown to and that says a value in the end.

    Subclasses say what they keep: ``_state``, ``_absorb`` (add the state of another metric of the
    same kind) and ``reset``.

    Attributes:
        id: Name, with ``@<extractor>`` when seen through an in-house network.
        version: Raised whenever the definition changes its values.
        unit: Of the value.
        higher_is_better: The direction.
        minimum: Fewest samples from which the value is defined.
    """

    id: str
    version: int = 1
    unit: str = ""
    higher_is_better: bool = True
    minimum: int = 1

    @abstractmethod
    def update(self, *samples: Any, **named: Any) -> None:
        """Take a batch of samples; every metric says which.

        All accept ``keys``: the sample numbers, one per sample, which must be unique across
        batches, shards and processes. Left out, they are counted.
        """

    @abstractmethod
    def compute(self) -> Result:
        """Say the value of everything seen so far.

        Raises:
            ComposeError: Fewer samples than ``minimum``.
        """

    @abstractmethod
    def reset(self) -> None:
        """Forget all samples."""

    @property
    @abstractmethod
    def n(self) -> int:
        """How many samples were seen."""

    @abstractmethod
    def _state(self) -> dict[str, Tensor]:
        """What is kept, as tensors on the CPU."""

    @abstractmethod
    def _absorb(self, state: Mapping[str, Tensor]) -> None:
        """Add what another metric of the same kind kept; all or nothing."""

    def params(self) -> dict[str, JSON]:
        """Everything that changes the value, as JSON; part of every result."""
        return {}

    def extractor_source(self) -> Source | None:
        """The network that this metric looks through, if any; part of every result.

        States that were seen through other weights are refused.
        """
        return None

    def merge(self, other: Metric) -> None:
        """Take over all samples of ``other``, which stays as it is.

        Raises:
            UsageError: ``other`` measures something else, or holds the same samples.
        """
        self._absorb(self._checked(other.state_dict()))

    def state_dict(self) -> dict[str, Tensor]:
        """Everything kept, as tensors on the CPU; safetensors can write it."""
        return {FINGERPRINT: self._fingerprint(), **self._state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved state, forgetting what was seen before.

        Raises:
            UsageError: The state is of another metric, version, network or set of parameters; or
                it is damaged. What was seen before is kept then.
        """
        kept = self._checked(state)
        self._blank()._absorb(kept)
        self.reset()
        self._absorb(kept)

    def synced(self, group: distributed.ProcessGroup | None = None) -> Self:
        """A metric that holds the samples of all processes; the same on each of them.

        Works with gloo and NCCL. Without an initialised process group it is a plain copy.
        """
        states = of_everyone(self.state_dict(), group)
        whole = self._blank()
        for state in states:
            whole._absorb(whole._checked(state))
        return whole

    def _blank(self) -> Self:
        """An empty metric with the same parameters; networks are shared, what is kept is not."""
        blank = copy.copy(self)
        for name, value in vars(self).items():
            setattr(blank, name, _emptied(value))
        blank.reset()
        return blank

    def _fingerprint(self) -> Tensor:
        """What this metric is, as 32 bytes, so that foreign states are recognised."""
        text = json.dumps(self._identity(), sort_keys=True)
        return torch.tensor(list(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)

    def _identity(self) -> list[JSON]:
        source = self.extractor_source()
        return [self.id, self.version, self.params(), source and source.to_json()]

    def _checked(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = state.get(FINGERPRINT)
        if found is None or not torch.equal(found.cpu(), self._fingerprint()):
            source = self.extractor_source()
            raise UsageError(
                f"this state is not one of {self.id}",
                got="a state without fingerprint" if found is None else "another fingerprint",
                expected=f"{self.id} version {self.version} with {self.params()}"
                + (f" through {source.id} {source.sha256[:12]}" if source else ""),
                remedy="merge only metrics that were made with the same arguments and weights",
            )
        return {name: tensor for name, tensor in state.items() if name != FINGERPRINT}

    def _enough(self, n: int, what: str = "samples") -> None:
        """Refuse to compute from too little.

        Raises:
            ComposeError: Fewer than ``minimum``.
        """
        if n < self.minimum:
            raise ComposeError(
                f"{self.id} has too few {what}",
                got=n,
                expected=f"at least {self.minimum}",
                remedy="measure more samples",
            )

    def _result(self, value: float, **more: Any) -> Result:
        """A result with everything filled in that the metric knows about itself."""
        about: dict[str, Any] = {
            "metric": self.id,
            "version": self.version,
            "n": self.n,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "params": self.params(),
            "extractor": self.extractor_source(),
        }
        return Result(value=float(value), **(about | more))


class Rows(Metric):
    """A metric that keeps a few numbers for each sample.

    Subclasses call ``add`` in ``update`` and ``rows`` in ``compute``. Results are the same bytes
    whatever the order, the batches and the shards. A column ``size``, see `pictures.sizes`, puts
    the resolutions of the pictures among the parameters of the result.

    Attributes:
        infinite: Whether rows may hold infinite values.
    """

    infinite: bool = False

    def __init__(self) -> None:
        self.table = Table(type(self).__name__, infinite=self.infinite)

    @property
    def n(self) -> int:
        """How many samples were seen."""
        return len(self.table)

    def add(self, keys: Keys, **columns: Tensor) -> None:
        """Keep columns (B, ...) of a batch; a copy, on the CPU.

        Raises:
            UsageError: A sample number is there already.
            ComposeError: A value is NaN; the message names the samples.
        """
        self.table.add(keys, **columns)

    def rows(self) -> dict[str, Tensor]:
        """All columns and ``keys``, sorted by key.

        Raises:
            ComposeError: Fewer samples than ``minimum``.
        """
        self._enough(self.n)
        return self.table.sorted()

    def reset(self) -> None:
        """Forget all samples."""
        self.table.clear()

    def _result(self, value: float, **more: Any) -> Result:
        rows = self.table.sorted()
        if SIZE not in rows:
            return super()._result(value, **more)
        found = cast(list[list[int]], rows[SIZE].unique(dim=0).tolist())
        told: dict[str, JSON] = {"resolution": [f"{height} x {width}" for height, width in found]}
        return super()._result(value, **({"params": self.params() | told} | more))

    def _state(self) -> dict[str, Tensor]:
        return self.table.sorted()

    def _absorb(self, state: Mapping[str, Tensor]) -> None:
        self.table.absorb(state)


class PerSample(Rows):
    """A metric that is the mean of one value per sample.

    Subclasses call ``add(keys, value=...)`` with values (B,) in ``update``.
    """

    def compute(self) -> Result:
        """The mean over the samples, with a bootstrap interval and the value of each sample."""
        rows = self.rows()
        values = rows["value"].double()
        return self._result(
            float(values.mean()),
            interval=mean_interval(values) if len(values) > 1 else None,
            per_sample=values,
            keys=rows[KEYS],
        )


class Sums(Metric):
    """A metric that keeps sums over the samples: counts, confusion matrices, moments.

    Subclasses call ``add`` in ``update`` and read ``total`` in ``compute``. Sums of integers are
    exact whatever the order; sums of floats agree up to rounding. The sample numbers are kept too,
    so that no sample counts twice.
    """

    def __init__(self) -> None:
        self.table = Table(type(self).__name__)
        self._totals: dict[str, Tensor] = {}

    @property
    def n(self) -> int:
        """How many samples were seen."""
        return len(self.table)

    def add(self, keys: Keys, count: int, **sums: Tensor) -> None:
        """Add the sums of a batch.

        Args:
            keys: Sample numbers (count,), or None.
            count: How many samples the batch has.
            sums: What they add to each total, already summed over the batch.

        Raises:
            UsageError: A sample number is there already.
            ShapeError: A total changes its shape.
            ComposeError: A sum is NaN.
        """
        numbers = self.table.numbered(keys, count)
        self._absorb({KEYS: numbers, **{f"total.{name}": sums[name] for name in sums}})

    def total(self, name: str) -> Tensor:
        """One of the sums.

        Raises:
            ComposeError: Fewer samples than ``minimum``.
        """
        self._enough(self.n)
        return self._totals[name]

    def reset(self) -> None:
        """Forget all samples."""
        self.table.clear()
        self._totals = {}

    def _state(self) -> dict[str, Tensor]:
        totals = {f"total.{name}": total for name, total in self._totals.items()}
        keys = self.table.sorted().get(KEYS, torch.empty(0, dtype=torch.int64))
        return {KEYS: keys, **totals}

    def _absorb(self, state: Mapping[str, Tensor]) -> None:
        sums = {
            name.removeprefix("total."): value.detach().cpu()
            for name, value in state.items()
            if name != KEYS
        }
        for name, value in sums.items():
            self._check_sum(name, value, cast(list[int], state[KEYS].tolist()))
        if len(state[KEYS]):
            self.table.add(state[KEYS], present=torch.ones(len(state[KEYS]), dtype=torch.bool))
        for name, value in sums.items():
            known = self._totals.get(name)
            self._totals[name] = value.clone() if known is None else known + value

    def _check_sum(self, name: str, value: Tensor, keys: Sequence[int]) -> None:
        known = self._totals.get(name)
        if known is not None and known.shape != value.shape:
            got, expected = tuple(value.shape), tuple(known.shape)
            raise ShapeError(f"{self.id}: {name} changed its shape", got=got, expected=expected)
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ComposeError(
                f"{self.id} got {name} that are not finite numbers",
                got=f"in the batch of samples {', '.join(map(str, keys[:8]))}",
                remedy="look at these samples; leave them out if they cannot be mended",
            )


def _emptied(value: Any) -> Any:
    """Stores emptied, containers copied; anything else as it is."""
    if isinstance(value, Store):
        return value.blank()
    if isinstance(value, dict):
        return {key: _emptied(held) for key, held in value.items()}
    return [_emptied(held) for held in value] if isinstance(value, list) else value
