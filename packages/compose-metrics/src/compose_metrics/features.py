"""Metrics that compare sets of features, fed by one pass of the network.

::

    measures = FeatureMetrics(FID(extractor), KID(extractor), InceptionScore(extractor))
    measures.update(generated, reference)
    results = measures.compute()  # by metric id
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from torch import Tensor, distributed

from compose_core.errors import ComposeError, UsageError
from compose_metrics.extractor import Extractor, Features, weights_sha256
from compose_metrics.frechet import Moments
from compose_metrics.metric import Keys, Metric
from compose_metrics.pool import Pool
from compose_metrics.processes import of_everyone
from compose_metrics.result import JSON, Result, Source
from compose_metrics.statistics import Statistics

__all__ = [
    "CANONICAL",
    "Extractor",
    "FeatureMetric",
    "FeatureMetrics",
    "Features",
    "weights_sha256",
]

CANONICAL = "inception-2015"
"""The network whose features give ``fid``, ``kid`` and ``inception_score`` their bare names."""


class FeatureMetric(Metric):
    """A metric of sets of features.

    Attributes:
        name: The id without extractor.
        needs_reference: Whether reference pictures are needed.
        pool: The features; shared when several metrics stand in one `FeatureMetrics`.
    """

    name: str
    needs_reference: bool = True

    def __init__(self, extractor: Extractor, reference: Statistics | None = None) -> None:
        self.extractor = extractor
        self.id = extractor.source.metric(self.name, CANONICAL)
        self.pool = Pool(extractor, reference)

    @property
    def n(self) -> int:
        """How many generated pictures were seen."""
        return len(self.pool.generated)

    def update(
        self,
        generated: Tensor | Features | None = None,
        reference: Tensor | Features | None = None,
        *,
        keys: Keys = None,
        reference_keys: Keys = None,
    ) -> None:
        """Take generated pictures, reference pictures, or both; they need not be pairs.

        Args:
            generated: (B, 3, H, W), float in [-1, 1] or uint8; or their `Features`.
            reference: The same for real pictures.
            keys: Sample numbers of the generated pictures.
            reference_keys: Sample numbers of the reference pictures.
        """
        self.pool.update(generated, reference, keys, reference_keys)

    def params(self) -> dict[str, JSON]:
        """Everything that changes the value."""
        known = self.pool.known
        address = {"reference": known.header.address} if known and self.needs_reference else {}
        return {"transform": self.extractor.transform, **address}

    def reset(self) -> None:
        """Forget all pictures."""
        self.pool.clear()

    def generated_features(self) -> Tensor:
        """Features (n, D) of the generated pictures, by key.

        Raises:
            ComposeError: Too few.
        """
        self._enough(self.n, "generated pictures")
        return self.pool.generated.sorted()["features"]

    def reference_features(self) -> Tensor:
        """Features (m, D) of the reference pictures, by key.

        Raises:
            ComposeError: Too few, or statistics that do not hold them.
        """
        self._enough(self.pool.n_reference, "reference pictures")
        known = self.pool.known
        if known is None:
            return self.pool.reference.sorted()["features"]
        if known.rows is None:
            raise ComposeError(
                f"{self.id} needs the features of every reference picture",
                got="statistics that hold their moments only",
                remedy="make the statistics with rows=True",
            )
        return known.rows

    def reference_set(self) -> Tensor | Moments:
        """The reference for a Frechet distance: features where fewer than D, else moments."""
        known = self.pool.known
        if known is not None and (known.rows is None or known.header.n >= self.extractor.dim):
            self._enough(self.pool.n_reference, "reference pictures")
            return known.moments
        rows = self.reference_features()
        if len(rows) < self.extractor.dim:
            return rows
        return self.pool.remember(("moments",), lambda: Moments.of(rows))

    def logits(self) -> Tensor:
        """Class scores (n, C) of the generated pictures, by key.

        Raises:
            ComposeError: Too few, or the extractor has none.
        """
        self._enough(self.n, "generated pictures")
        rows = self.pool.generated.sorted()
        if "logits" not in rows:
            raise ComposeError(
                f"{self.id} needs class scores",
                got=f"{self.extractor.source.id}, which gives features only",
                remedy="choose an extractor that classifies",
            )
        return rows["logits"]

    def _seen(self, value: float, **more: Any) -> Result:
        """A result with the extractor and the size of the reference filled in."""
        if self.needs_reference:
            more.setdefault("n_reference", self.pool.n_reference)
        return self._result(value, **more)

    def extractor_source(self) -> Source:
        """The extractor's."""
        return self.extractor.source

    def _state(self) -> dict[str, Tensor]:
        return self.pool.state()

    def _absorb(self, state: Mapping[str, Tensor]) -> None:
        self.pool.absorb(state)


@final
class FeatureMetrics:
    """Several metrics of one extractor, fed by one pass over the pictures.

    The metrics have to be new: what they see from then on is kept here, once for all of them.

    Raises:
        UsageError: No metric, metrics of different extractors, of different references or of one
            id; or a metric that has seen pictures already, or stands in another pass.
    """

    def __init__(self, *metrics: FeatureMetric) -> None:
        if not metrics or any(m.extractor is not metrics[0].extractor for m in metrics):
            raise UsageError(
                "one pass needs one extractor",
                got=[metric.id for metric in metrics],
                expected="metrics that were made with the same extractor object",
            )
        known = [metric.pool.known for metric in metrics if metric.needs_reference] or [None]
        if any(other is not known[0] for other in known):
            raise UsageError("one pass needs one reference", got=[m.id for m in metrics])
        _check_new(metrics)
        self.metrics = metrics
        self.pool = Pool(metrics[0].extractor, known[0])
        self.pool.shared = True
        for metric in metrics:
            metric.pool = self.pool

    @property
    def n(self) -> int:
        """How many generated pictures were seen."""
        return len(self.pool.generated)

    def update(
        self,
        generated: Tensor | Features | None = None,
        reference: Tensor | Features | None = None,
        *,
        keys: Keys = None,
        reference_keys: Keys = None,
    ) -> None:
        """Take pictures or features, as `FeatureMetric.update`, for all metrics at once."""
        self.pool.update(generated, reference, keys, reference_keys)

    def compute(self) -> dict[str, Result]:
        """The results by metric id."""
        return {metric.id: metric.compute() for metric in self.metrics}

    def reset(self) -> None:
        """Forget all pictures."""
        self.pool.clear()

    def merge(self, other: FeatureMetrics) -> None:
        """Take over all pictures of ``other``."""
        self.metrics[0].merge(other.metrics[0])

    def state_dict(self) -> dict[str, Tensor]:
        """Everything kept, as tensors on the CPU."""
        return self.metrics[0].state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a saved state."""
        self.metrics[0].load_state_dict(state)

    def synced(self, group: distributed.ProcessGroup | None = None) -> FeatureMetrics:
        """All metrics with the pictures of all processes, whose features travel once.

        The same on each process; without an initialised process group it is a plain copy.
        """
        whole = FeatureMetrics(*(metric._blank() for metric in self.metrics))
        first = whole.metrics[0]
        for state in of_everyone(self.state_dict(), group):
            first._absorb(first._checked(state))
        return whole


def _check_new(metrics: Sequence[FeatureMetric]) -> None:
    """Refuse metrics whose results or pictures would be lost."""
    ids = [metric.id for metric in metrics]
    if doubled := sorted({name for name in ids if ids.count(name) > 1}):
        raise UsageError(
            "results are told apart by the ids of their metrics",
            got=f"{', '.join(doubled)} more than once",
            remedy="measure the second one in a pass of its own",
        )
    used = [m.id for m in metrics if m.pool.shared or m.n or len(m.pool.reference)]
    if used:
        raise UsageError(
            "one pass needs metrics that have seen nothing",
            got=f"{', '.join(used)}, which hold pictures or stand in another pass",
            remedy="make new ones",
        )
