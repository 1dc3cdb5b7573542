"""Precision and recall, density and coverage of a set of features.

Precision and recall: Kynkaanniemi et al. 2019 (arXiv 1904.06991), k = 3. Density and coverage:
Naeem et al. 2020 (arXiv 2002.09797), k = 5. All rest on balls around each vector that reach its
k-th nearest neighbour in its own set; a vector on the surface of a ball lies inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ComposeError
from compose_metrics.features import Extractor, FeatureMetric
from compose_metrics.intervals import bootstrap_mean, wilson
from compose_metrics.result import JSON, Result
from compose_metrics.statistics import Statistics
from compose_metrics.table import KEYS

BLOCK = 2048
"""Rows of the distance matrix that are computed at once."""


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Who lies in whose ball.

    Attributes:
        real_balls: For each generated vector, the number of balls of real ones that hold it (n,).
        covered: For each real vector, whether its own ball holds a generated one (m,).
        recalled: For each real vector, whether a ball of a generated one holds it (m,).
        k: The neighbour that the balls reach.
    """

    real_balls: Tensor
    covered: Tensor
    recalled: Tensor
    k: int


def neighbourhoods(generated: Tensor, reference: Tensor, k: int) -> Neighbourhoods:
    """Compare vectors (n, D) and (m, D) by balls to the k-th neighbour, in float64.

    Raises:
        ComposeError: A set has no k-th neighbour: fewer than k + 1 vectors.
    """
    for vectors, what in ((generated, "generated"), (reference, "reference")):
        if len(vectors) <= k:
            raise ComposeError(
                f"the {what} set is too small for {k} neighbours",
                got=len(vectors),
                expected=f"at least {k + 1}",
            )
    # Squared distances are differences of squares: near the origin less cancels.
    middle = reference.double().mean(0)
    x, y = generated.double() - middle, reference.double() - middle
    scale = float(torch.cat([x, y]).square().sum(1).max())
    reach_x, reach_y = _reach(x, k, scale), _reach(y, k, scale)
    real_balls, covered, recalled = [], torch.zeros(len(y)).bool(), torch.zeros(len(y)).bool()
    for block, reach in zip(x.split(BLOCK), reach_x.split(BLOCK), strict=True):
        squared = _squared(block, y)
        inside = squared <= reach_y
        real_balls.append(inside.sum(1))
        covered |= inside.any(0)
        recalled |= (squared <= reach[:, None]).any(0)
    return Neighbourhoods(torch.cat(real_balls), covered, recalled, k)


def _reach(vectors: Tensor, k: int, scale: float) -> Tensor:
    """Squared radius of each ball, a rounding error larger so that ties count as inside."""
    parts: list[Tensor] = []
    for start in range(0, len(vectors), BLOCK):
        squared = _squared(vectors[start : start + BLOCK], vectors)
        squared.diagonal(start).fill_(torch.inf)  # nobody is a neighbour of itself
        parts.append(squared.kthvalue(k, 1).values)
    return torch.cat(parts) * (1 + 1e-9) + 1e-13 * scale


def _squared(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances (n, m)."""
    lengths = x.square().sum(1)[:, None] + y.square().sum(1)[None, :]
    return (lengths - 2 * x @ y.T).clamp(min=0)


class NeighbourMetric(FeatureMetric):
    """What `Precision`, `Recall`, `Density` and `Coverage` share: the balls, computed once."""

    k: int

    def __init__(
        self, extractor: Extractor, reference: Statistics | None = None, *, k: int | None = None
    ) -> None:
        super().__init__(extractor, reference)
        self.k = self.k if k is None else k
        self.minimum = self.k + 1

    def params(self) -> dict[str, JSON]:
        """Everything that changes the value."""
        return {**super().params(), "k": self.k}

    def neighbourhoods(self) -> Neighbourhoods:
        """The balls of this k."""
        generated, reference = self.generated_features(), self.reference_features()
        return self.pool.remember(
            ("neighbourhoods", self.k), lambda: neighbourhoods(generated, reference, self.k)
        )

    def _keys(self) -> Tensor:
        return self.pool.generated.sorted()[KEYS]


@final
class Precision(NeighbourMetric):
    """Share of the generated vectors that lie in a ball of a real one: are they realistic?"""

    name = "precision"
    k = 3

    def compute(self) -> Result:
        """The share, with Wilson's interval given the reference, and 0 or 1 for each picture."""
        hits = self.neighbourhoods().real_balls > 0
        interval = wilson(int(hits.sum()), len(hits))
        return self._seen(
            float(hits.double().mean()),
            interval=interval,
            per_sample=hits.double(),
            keys=self._keys(),
        )


@final
class Recall(NeighbourMetric):
    """Share of the real vectors that lie in a ball of a generated one: is everything there?"""

    name = "recall"
    k = 3

    def compute(self) -> Result:
        """The share of reference pictures, with Wilson's interval given the generated ones."""
        hits = self.neighbourhoods().recalled
        return self._seen(float(hits.double().mean()), interval=wilson(int(hits.sum()), len(hits)))


@final
class Density(NeighbourMetric):
    """How many real balls hold a generated vector, over k: unlike precision, blind to outliers."""

    name = "density"
    k = 5

    def compute(self) -> Result:
        """The mean number over k; may exceed 1. With a bootstrap interval given the reference."""
        values = self.neighbourhoods().real_balls.double() / self.k
        return self._seen(
            float(values.mean()),
            interval=bootstrap_mean(values),
            per_sample=values,
            keys=self._keys(),
        )


@final
class Coverage(NeighbourMetric):
    """Share of the real vectors whose ball holds a generated one: recall, blind to outliers."""

    name = "coverage"
    k = 5

    def compute(self) -> Result:
        """The share of reference pictures, with Wilson's interval given the generated ones."""
        hits = self.neighbourhoods().covered
        return self._seen(float(hits.double().mean()), interval=wilson(int(hits.sum()), len(hits)))
