"""Frechet inception distance (Heusel et al. 2017, arXiv 1706.08500)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from compose_metrics.distribution.infinity import at_infinity
from compose_metrics.features import CANONICAL, Extractor, FeatureMetric, Features
from compose_metrics.frechet import Moments, frechet_distance
from compose_metrics.intervals import jackknife, seeded
from compose_metrics.metric import Keys, Metric
from compose_metrics.result import JSON, Interval, Result, Source
from compose_metrics.statistics import Statistics
from compose_metrics.table import KEYS, Table


@final
class FID(FeatureMetric):
    """Frechet distance between the features of generated and of reference pictures.

    It is biased upwards by an amount that falls with the number of pictures, so values of
    different n or different n of the reference must not be ranked; see `FIDInfinity` and `KID`.

    Args:
        extractor: The network; only ``inception-2015`` gives the id ``fid``.
        reference: Statistics of the reference set; None to show the pictures to ``update``.
        groups: Number of groups of the jackknife interval; 0 for none. It says how much the
            distance depends on which pictures were generated, the reference being given.
    """

    name = "fid"
    higher_is_better = False
    minimum = 2

    def __init__(
        self, extractor: Extractor, reference: Statistics | None = None, *, groups: int = 10
    ) -> None:
        super().__init__(extractor, reference)
        self.groups = groups

    def compute(self) -> Result:
        """The distance, in squared units of the features."""
        generated = self.generated_features()
        reference = self.reference_set()
        value = frechet_distance(generated, reference)
        return self._seen(value, interval=self._interval(generated, reference, value))

    def _interval(
        self, generated: Tensor, reference: Tensor | Moments, value: float
    ) -> Interval | None:
        if self.groups < 2 or len(generated) < 2 * self.groups:
            return None
        # Neighbours in number are often alike (one prompt, one scene): groups mix them.
        group = torch.arange(len(generated)) % self.groups
        without = [
            frechet_distance(generated[group != left_out], reference)
            for left_out in range(self.groups)
        ]
        return jackknife(torch.tensor(without, dtype=torch.float64), value)


@final
class FIDInfinity(FeatureMetric):
    """FID extrapolated to infinitely many generated pictures (Chong and Forsyth 2020).

    FID of subsets of different size is fitted by a line in `1 / n` (arXiv 1911.07023, section
    3.2), whose value at 0 is free of the bias of first order in the generated set. The reference
    stays as it is.

    Args:
        extractor: The network.
        reference: Statistics of the reference set; None to show the pictures to ``update``.
        sizes: How many subsets are fitted.
        seed: Of the draws of the subsets.
    """

    name = "fid_infinity"
    higher_is_better = False
    minimum = 50

    def __init__(
        self,
        extractor: Extractor,
        reference: Statistics | None = None,
        *,
        sizes: int = 15,
        seed: int = 0,
    ) -> None:
        super().__init__(extractor, reference)
        self.sizes = sizes
        self.seed = seed

    def params(self) -> dict[str, JSON]:
        """Everything that changes the value."""
        return {**super().params(), "sizes": self.sizes, "seed": self.seed}

    def compute(self) -> Result:
        """The value of the fitted line at `1 / n = 0`."""
        generated = self.generated_features()
        reference = self.reference_set()
        fit = at_infinity(
            lambda rows: frechet_distance(generated[rows], reference),
            len(generated),
            sizes=self.sizes,
            generator=seeded(self.seed),
        )
        parts = {"slope": fit.slope, "at_n": fit.values[-1]}
        return self._seen(fit.value, interval=fit.interval, parts=parts)


@final
class StreamedFID(Metric):
    """FID of sets too large to keep: only the moments of their features stay in memory.

    The same value as `FID` up to rounding (1e-9 relative), whatever the batches.

    Args:
        extractor: The network.
        reference: Statistics of the reference set; None to show the pictures to ``update``.
    """

    higher_is_better = False
    minimum = 2

    def __init__(self, extractor: Extractor, reference: Statistics | None = None) -> None:
        self.extractor = extractor
        self.id = extractor.source.metric(FID.name, CANONICAL)
        self.reference = reference
        if reference is not None:
            reference.header.check(extractor)
        self._tables = {side: Table(f"the {side} set") for side in ("generated", "reference")}
        self._moments: dict[str, Moments] = {}

    @property
    def n(self) -> int:
        """How many generated pictures were seen."""
        return len(self._tables["generated"])

    def params(self) -> dict[str, JSON]:
        """Everything that changes the value."""
        address = self.reference.header.address if self.reference else None
        return {"transform": self.extractor.transform, "reference": address, "keeps": "moments"}

    def update(
        self,
        generated: Tensor | Features | None = None,
        reference: Tensor | Features | None = None,
        *,
        keys: Keys = None,
        reference_keys: Keys = None,
    ) -> None:
        """Take pictures or features, both sets or none; see `FeatureMetric.update`."""
        both = (("generated", generated, keys), ("reference", reference, reference_keys))
        state: dict[str, Tensor] = {}
        for side, samples, numbers in both:
            if samples is None:
                continue
            seen = self.extractor.seen(samples).features.cpu()
            rows = _as_state(self._tables[side].numbered(numbers, len(seen)), seen)
            state |= {f"{side}.{name}": value for name, value in rows.items()}
        self._absorb(state)

    def compute(self) -> Result:
        """The distance, in squared units of the features."""
        self._enough(self.n, "generated pictures")
        reference = self.reference.moments if self.reference else self._moments.get("reference")
        self._enough(reference.n if reference else 0, "reference pictures")
        assert reference is not None
        value = frechet_distance(self._moments["generated"], reference)
        return self._result(value, n_reference=reference.n)

    def extractor_source(self) -> Source:
        """The extractor's."""
        return self.extractor.source

    def reset(self) -> None:
        """Forget all pictures."""
        self._tables = {side: table.blank() for side, table in self._tables.items()}
        self._moments = {}

    def _state(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for side, moments in self._moments.items():
            state[f"{side}.{KEYS}"] = self._tables[side].sorted()[KEYS]
            state[f"{side}.mean"] = moments.mean
            state[f"{side}.scatter"] = moments.scatter
        return state

    def _absorb(self, state: Mapping[str, Tensor]) -> None:
        admitted: list[tuple[str, dict[str, Tensor], Moments]] = []
        for side, table in self._tables.items():
            if f"{side}.{KEYS}" not in state:
                continue
            keys = state[f"{side}.{KEYS}"]
            rows = table.admit(keys, present=torch.ones(len(keys), dtype=torch.bool))
            added = Moments(len(keys), state[f"{side}.mean"], state[f"{side}.scatter"])
            known = self._moments.get(side)
            admitted.append((side, rows, known.merged(added) if known else added))
        for side, rows, moments in admitted:
            self._tables[side].append(rows)
            self._moments[side] = moments


def _as_state(keys: Tensor, features: Tensor) -> dict[str, Tensor]:
    moments = Moments.of(features)
    return {KEYS: keys, "mean": moments.mean, "scatter": moments.scatter}
