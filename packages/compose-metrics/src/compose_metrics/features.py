"""Networks that see pictures as vectors, and metrics that compare sets of such vectors.

One pass of the network serves all of them::

    measures = FeatureMetrics(FID(extractor), KID(extractor), InceptionScore(extractor))
    measures.update(generated, reference)
    results = measures.compute()  # by metric id
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast, final

import torch
from torch import Tensor, nn

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.metric import Keys, Metric
from compose_metrics.pictures import as_saved, checked, resize
from compose_metrics.result import JSON, Result, Source
from compose_metrics.table import Table

T = TypeVar("T")

CANONICAL = "inception-2015"
"""The network whose features give ``fid``, ``kid`` and ``inception_score`` their bare names."""


@dataclass(frozen=True)
class Features:
    """What a network says about a batch.

    Attributes:
        features: (B, D).
        logits: Unnormalised class scores (B, C), where the network has them.
    """

    features: Tensor
    logits: Tensor | None = None


class Extractor(nn.Module, ABC):
    """A frozen network with an identity.

    Subclasses implement ``forward`` for pictures that are prepared; callers use ``extract``.

    Attributes:
        source: Which network this is.
        dim: Length D of its features.
        size: Height and width of the pictures that ``forward`` gets, in pixels.
        transform: Everything done to a picture before ``forward``, in words; part of the identity
            of reference statistics.
    """

    def __init__(self, source: Source, *, dim: int, size: int, transform: str = "") -> None:
        super().__init__()
        self.source = source
        self.dim = dim
        self.size = size
        resized = f"8 bits, bicubic antialiased to {size} x {size}, [-1, 1]"
        self.transform = f"{resized}, {transform}" if transform else resized

    @abstractmethod
    def forward(self, pictures: Tensor) -> Features:
        """See pictures (B, 3, size, size), float32 in [-1, 1]."""

    def prepare(self, pictures: Tensor) -> Tensor:
        """What ``forward`` gets: checked, rounded as a PNG, resized."""
        return resize(as_saved(checked(pictures)), self.size)

    @torch.no_grad()
    def extract(self, pictures: Tensor) -> Features:
        """Features of pictures (B, 3, H, W) of any size, float in [-1, 1] or uint8.

        Raises:
            ShapeError: Wrong pictures, or the network answers with another shape.
        """
        was_training = self.training
        self.eval()
        seen: Features = self(self.prepare(pictures))
        self.train(was_training)
        if seen.features.shape != (len(pictures), self.dim):
            raise ShapeError(
                f"features of {self.source.id} have the wrong shape",
                got=tuple(seen.features.shape),
                expected=(len(pictures), self.dim),
            )
        return seen


@final
class Pool:
    """Features of generated and of reference pictures, shared by the metrics that need them."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.generated = Table("the generated set")
        self.reference = Table("the reference set")
        self._cache: dict[tuple[Any, ...], Any] = {}

    def update(
        self,
        generated: Tensor | Features | None,
        reference: Tensor | Features | None,
        keys: Keys,
        reference_keys: Keys,
    ) -> None:
        """Take pictures, or features that were extracted before."""
        self._cache.clear()
        both = ((self.generated, generated, keys), (self.reference, reference, reference_keys))
        for table, samples, numbers in both:
            if samples is not None:
                seen = samples
                if isinstance(samples, Tensor):
                    seen = self.extractor.extract(samples)
                table.add(numbers, **_columns(cast(Features, seen)))

    def remember(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What ``make`` gives, kept until the next update: costly parts are computed once."""
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def state(self) -> dict[str, Tensor]:
        """Both tables, as tensors."""
        return {
            f"{side}.{name}": column
            for side in ("generated", "reference")
            for name, column in cast(Table, getattr(self, side)).sorted().items()
        }

    def absorb(self, state: Mapping[str, Tensor]) -> None:
        """Add the rows of another pool."""
        self._cache.clear()
        for side in ("generated", "reference"):
            start = f"{side}."
            rows = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
            cast(Table, getattr(self, side)).absorb(rows)

    def clear(self) -> None:
        """Forget all features."""
        self._cache.clear()
        self.generated.clear()
        self.reference.clear()


class FeatureMetric(Metric):
    """A metric of sets of features.

    Attributes:
        name: The id without extractor.
        needs_reference: Whether reference pictures are needed.
        pool: The features; shared when several metrics stand in one `FeatureMetrics`.
    """

    name: str
    needs_reference: bool = True

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.id = extractor.source.metric(self.name, CANONICAL)
        self.pool = Pool(extractor)

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
        return {"transform": self.extractor.transform}

    def reset(self) -> None:
        """Forget all pictures."""
        self.pool.clear()

    def features(self) -> tuple[Tensor, Tensor]:
        """Features (n, D) of the generated and (m, D) of the reference pictures, by key.

        Raises:
            ComposeError: Too few of either.
        """
        self._enough(self.n, "generated pictures")
        self._enough(len(self.pool.reference), "reference pictures")
        return (
            self.pool.generated.sorted()["features"],
            self.pool.reference.sorted()["features"],
        )

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
            more.setdefault("n_reference", len(self.pool.reference))
        return self._result(value, extractor=self.extractor.source, **more)

    def _blank(self) -> FeatureMetric:  # pyright: ignore[reportIncompatibleMethodOverride]
        blank = super()._blank()
        blank.pool = Pool(self.extractor)
        return blank

    def _state(self) -> dict[str, Tensor]:
        return self.pool.state()

    def _absorb(self, state: Mapping[str, Tensor]) -> None:
        self.pool.absorb(state)


@final
class FeatureMetrics:
    """Several metrics of one extractor, fed by one pass over the pictures.

    Raises:
        UsageError: No metric, or metrics of different extractors.
    """

    def __init__(self, *metrics: FeatureMetric) -> None:
        if not metrics or any(m.extractor is not metrics[0].extractor for m in metrics):
            raise UsageError(
                "one pass needs one extractor",
                got=[metric.id for metric in metrics],
                expected="metrics that were made with the same extractor object",
            )
        self.metrics = metrics
        self.pool = Pool(metrics[0].extractor)
        for metric in metrics:
            metric.pool = self.pool

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


def _columns(seen: Features) -> dict[str, Tensor]:
    columns = {"features": seen.features}
    return columns if seen.logits is None else columns | {"logits": seen.logits}
