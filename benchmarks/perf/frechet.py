"""The Frechet core against what others do, on features with the spectrum of a deep network.

Bars: at least 5 times faster than scipy's `sqrtm` at full rank, and 50 times with fewer vectors
than dimensions. Peers that take the eigenvalues of the unsymmetric product stand beside. The row
holds the error of each, against singular values of the factors: these are never squared, so their
sum is exact to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import Any, cast

import measure
import numpy as np
import torch
from scipy import linalg
from torch import Tensor

from compose_metrics.frechet import Moments, frechet_distance

PEERS = ("sqrtm", "numpy_eigvals", "torch_eigvals")
ALL = ("ours", *PEERS)


def main() -> None:
    """Time every route from the same vectors and moments, in turns."""
    options = measure.arguments(__doc__, rounds=3, dim=2048, many=10_000, few=500)
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(1)
    mix = spectrum(options.dim, draw)
    many, other = (vectors(options.many, mix, draw) for _ in range(2))
    few = vectors(options.few, mix, draw)
    reference = Moments.of(other)
    cases: dict[str, Tensor | Moments] = {"full_rank": Moments.of(many), "fewer_than_dim": few}
    named = {
        f"{case} {name}": run
        for case, given in cases.items()
        for name, run in contenders(given, reference)[0].items()
    }
    if measure.peak_asked(options, named):
        return
    held = measure.peaks(named)
    row: dict[str, Any] = {
        "dim": options.dim,
        **{case: compare(given, reference, options.rounds) for case, given in cases.items()},
        "peak_megabytes": held,
        "peers": {name: metadata.version(name) for name in ("numpy", "scipy")},
        "bars": {"full_rank": 5, "fewer_than_dim": 50},
    }
    measure.write("frechet", row, options.out)


def contenders(
    given: Tensor | Moments, reference: Moments
) -> tuple[dict[str, Callable[[], float]], float]:
    """Every route, and the exact value less twice the trace of the root."""
    moments = given if isinstance(given, Moments) else Moments.of(given)
    s1, s2 = moments.covariance, reference.covariance
    apart = moments.mean - reference.mean
    rest = float(apart @ apart + s1.trace() + s2.trace())
    runs: dict[str, Callable[[], float]] = {
        "ours": lambda: frechet_distance(given, reference),
        "sqrtm": lambda: rest - 2 * with_sqrtm(s1, s2),
        "numpy_eigvals": lambda: rest - 2 * with_numpy(s1, s2),
        "torch_eigvals": lambda: rest - 2 * with_torch(s1, s2),
    }
    return runs, rest


def compare(given: Tensor | Moments, reference: Moments, rounds: int) -> dict[str, Any]:
    """Seconds, ratios and values of every contender; moments are made beforehand for all."""
    runs, rest = contenders(given, reference)
    seconds = measure.in_turns(runs, rounds)
    moments = given if isinstance(given, Moments) else Moments.of(given)
    exact = rest - 2 * with_singular_values(given, moments.covariance, reference.covariance)
    return {
        "n": moments.n,
        "n_reference": reference.n,
        "seconds": measure.medians(seconds),
        "value": exact,
        "error": {name: runs[name]() - exact for name in ALL},
        **{f"{name}_over_ours": measure.ratio(seconds, name, "ours") for name in PEERS},
    }


def with_singular_values(given: Tensor | Moments, s1: Tensor, s2: Tensor) -> float:
    """The exact value: the nuclear norm of the product of two factors."""
    if isinstance(given, Tensor):
        left = (given - given.mean(0)) / (len(given) - 1) ** 0.5
    else:
        left = torch.linalg.cholesky(s1).T
    return float(torch.linalg.svdvals(left @ torch.linalg.cholesky(s2)).sum())


def with_sqrtm(s1: Tensor, s2: Tensor) -> float:
    """Root of the whole matrix, of which only the trace is used (clean-fid, pytorch-fid)."""
    root = cast(Any, linalg.sqrtm((s1 @ s2).numpy()))
    return float(root.diagonal().real.sum())


def with_numpy(s1: Tensor, s2: Tensor) -> float:
    """Eigenvalues of the unsymmetric product (torch-fidelity)."""
    values = np.linalg.eigvals((s1 @ s2).numpy()).astype("complex128")
    return float(np.real(np.sqrt(values)).sum())


def with_torch(s1: Tensor, s2: Tensor) -> float:
    """The same in torch (torchmetrics, torchaudio)."""
    return float(torch.linalg.eigvals(s1 @ s2).sqrt().real.sum())


def spectrum(dim: int, draw: torch.Generator) -> Tensor:
    """A mixing matrix (D, D) whose singular values fall like those of Inception's features."""
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=draw, dtype=torch.float64)).Q
    values = torch.arange(1, dim + 1, dtype=torch.float64) ** -0.75
    return basis * values


def vectors(n: int, mix: Tensor, draw: torch.Generator) -> Tensor:
    """Gaussian vectors (n, D), float64."""
    return torch.randn(n, len(mix), generator=draw, dtype=torch.float64) @ mix.T


if __name__ == "__main__":
    main()
