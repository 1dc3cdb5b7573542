r"""The Frechet distance between two Gaussians, in double precision.

.. math:: d^2 = |\mu_1 - \mu_2|^2 + \mathrm{tr}(S_1 + S_2) - 2\,\mathrm{tr}\sqrt{S_1 S_2}

(Dowson and Landau 1982; for features of pictures: Heusel et al. 2017, arXiv 1706.08500). Only the
trace of the root is needed, never the root. `S_1 S_2` is similar to symmetric matrices, whose
eigenvalues are real and cost a fraction of a general decomposition:

- both sets smaller than D: the singular values of :math:`X_c Y_c^T`, n x m;
- one set smaller than D: the eigenvalues of :math:`X_c S_2 X_c^T / (n - 1)`, n x n;
- else :math:`L^T S_1 L` with the Cholesky factor of `S_2 = L L^T`, D x D;
- neither covariance has full rank: the same with the root of `S_2` on its range, from `eigh`.

Eigenvalues that are zero up to rounding are set to zero before the root is taken: a root turns
`1e-16` into `1e-8`, and a thousand of these into an error that shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ComposeError, ShapeError

EPS = torch.finfo(torch.float64).eps


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """Number, mean and scatter of a set of vectors; adding two sets needs no more.

    Attributes:
        n: How many vectors.
        mean: (D,), float64.
        scatter: Sum of outer products of the deviations from the mean (D, D), float64.
    """

    n: int
    mean: Tensor
    scatter: Tensor

    @staticmethod
    def of(vectors: Tensor) -> Moments:
        """Moments of vectors (n, D) of any float dtype.

        Raises:
            ShapeError: Not a matrix with at least one row.
            ComposeError: A value is not finite.
        """
        x = _matrix(vectors)
        mean = x.mean(0)
        centred = x - mean
        return Moments(len(x), mean, centred.T @ centred)

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance (D, D).

        Raises:
            ComposeError: Fewer than two vectors.
        """
        _enough(self.n)
        return self.scatter / (self.n - 1)

    def merged(self, other: Moments) -> Moments:
        """Moments of both sets together (Chan, Golub and LeVeque 1979).

        The means are subtracted before they are squared, so nothing cancels when the mean is large
        against the spread.
        """
        if self.mean.shape != other.mean.shape:
            raise ShapeError(
                "moments of vectors of different length",
                got=f"{len(self.mean)} and {len(other.mean)}",
            )
        n = self.n + other.n
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.n / n)
        between = torch.outer(apart, apart) * (self.n * other.n / n)
        return Moments(n, mean, self.scatter + other.scatter + between)


def frechet_distance(a: Tensor | Moments, b: Tensor | Moments) -> float:
    """Squared Frechet distance of two sets, each as vectors or as moments.

    Give vectors (n, D) where there are fewer of them than D: that is faster and more exact.

    Args:
        a: Vectors (n, D) or moments.
        b: The same for the other set.

    Returns:
        The distance in squared units of the vectors. Two identical sets may give a tiny negative
        number; clamp it only where it is shown.

    Raises:
        ShapeError: The vectors differ in length.
        ComposeError: Fewer than two vectors, or values that are not finite.
    """
    first, second = _side(a), _side(b)
    if first.dim != second.dim:
        raise ShapeError(
            "vectors of different length cannot be compared", got=f"{first.dim} and {second.dim}"
        )
    apart = first.mean - second.mean
    spread = first.spread + second.spread
    return float(apart @ apart + spread - 2 * _trace_root(first, second))


def gaussian_frechet(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """Squared Frechet distance of two Gaussians given by mean (D,) and covariance (D, D)."""
    apart = mean1.double() - mean2.double()
    s1, s2 = cov1.double(), cov2.double()
    return float(apart @ apart + s1.trace() + s2.trace() - 2 * trace_root(s1, s2))


def trace_root(s1: Tensor, s2: Tensor) -> Tensor:
    """Trace of the root of ``s1 @ s2`` for two covariances (D, D), float64.

    Either may be singular.
    """
    for whole, other in ((s2, s1), (s1, s2)):
        factor, info = torch.linalg.cholesky_ex(whole)
        if int(info) == 0:
            return _sum_of_roots(factor.T @ other @ factor)
    root = _range_root(s2)
    return _sum_of_roots(root.T @ s1 @ root)


@dataclass(frozen=True, eq=False)
class _Side:
    """One set: what is known of it, computed no further than needed.

    ``rows`` are the centred vectors over ``sqrt(n - 1)``, so that ``rows.T @ rows`` is the
    covariance; they are kept only where the set is smaller than D.
    """

    mean: Tensor
    spread: Tensor
    rows: Tensor | None
    moments: Moments | None

    @property
    def dim(self) -> int:
        return len(self.mean)


def _side(given: Tensor | Moments) -> _Side:
    if isinstance(given, Tensor) and 2 <= given.shape[0] < given.shape[-1]:
        x = _matrix(given)
        mean = x.mean(0)
        rows = (x - mean) / (len(x) - 1) ** 0.5
        return _Side(mean, (rows * rows).sum(), rows, None)
    moments = Moments.of(given) if isinstance(given, Tensor) else given
    _enough(moments.n)
    return _Side(moments.mean, moments.scatter.trace() / (moments.n - 1), None, moments)


def _trace_root(a: _Side, b: _Side) -> Tensor:
    """Trace of the root of the product of the covariances, by the cheapest exact route."""
    if a.rows is not None and b.rows is not None:
        return torch.linalg.svdvals(a.rows @ b.rows.T).sum()
    if a.rows is not None and b.moments is not None:
        return _gram_root(a.rows, b.moments)
    if b.rows is not None and a.moments is not None:
        return _gram_root(b.rows, a.moments)
    assert a.moments is not None and b.moments is not None
    return trace_root(a.moments.covariance, b.moments.covariance)


def _gram_root(rows: Tensor, moments: Moments) -> Tensor:
    """The n x n route; the scatter is scaled last, where it is small."""
    return _sum_of_roots(rows @ moments.scatter @ rows.T / (moments.n - 1))


def _sum_of_roots(product: Tensor) -> Tensor:
    """Sum of the roots of the eigenvalues of a symmetric, positive semidefinite matrix."""
    values = torch.linalg.eigvalsh((product + product.T) / 2)
    return _cleaned(values).sqrt().sum()


def _range_root(s: Tensor) -> Tensor:
    """``root`` (D, r) with ``root @ root.T`` equal to ``s``; r is the rank of ``s``."""
    values, vectors = torch.linalg.eigh(s)
    values = _cleaned(values)
    kept = values > 0
    return vectors[:, kept] * values[kept].sqrt()


def _cleaned(values: Tensor) -> Tensor:
    """Eigenvalues with those set to zero that are zero up to rounding."""
    threshold = values.abs().max() * len(values) * EPS
    return torch.where(values > threshold, values, 0.0)


def _matrix(vectors: Tensor) -> Tensor:
    if vectors.dim() != 2 or vectors.numel() == 0:
        raise ShapeError(
            "not a set of vectors", got=tuple(vectors.shape), expected="(n, D), not empty"
        )
    x = vectors.detach().double()
    if not bool(x.isfinite().all()):
        rows = (~x.isfinite()).any(1).nonzero().flatten().tolist()
        raise ComposeError("vectors hold values that are not finite numbers", got=f"rows {rows}")
    return x


def _enough(n: int) -> None:
    if n < 2:
        raise ComposeError("a covariance needs at least two vectors", got=n, expected="2 or more")
