r"""The step sizes: a LASSO of as many unknowns as there are views.

With linear observations the paper's Eq. 41 is, up to the square of the step,

.. math:: \min_{E, \lambda} \tfrac12 \sum_i \| \lambda_i \epsilon_i - A_i E \|^2_{W_i}
          + \mu \sum_i |\lambda_i - 1| ,

jointly convex. With :math:`N = \sum_i A_i' W_i A_i` its least over `E` is
:math:`\tfrac12 \lambda' G \lambda` with

.. math:: G_{ij} = \delta_{ij} \|\epsilon_i\|^2_{W_i}
          - \langle W_i \epsilon_i, A_i N^+ A_j' W_j \epsilon_j \rangle ,

which measures how much the views disagree. At :math:`\lambda = 1` its gradient is `G 1`; from
:math:`\mu = \max_i |(G 1)_i|` on, 1 is the answer. The penalty is given as a share `kappa` of it,
so that it means the same for any image, step and number of views.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Sizes", "penalty", "solve", "shrink"]

_SWEEPS = 1000
_SETTLED = 1e-12
_NOTHING = 1e-10
"""Disagreement, as a share of what is said, below which views agree up to rounding."""


class Sizes(NamedTuple):
    """Step sizes of every sample and what they cost.

    Attributes:
        values: lambda `(B, m)`, float64, on the CPU.
        before: The objective `(B,)` with all of them 1.
        after: The objective `(B,)` with these.
    """

    values: Tensor
    before: Tensor
    after: Tensor


def penalty(gradient: Tensor, energy: Tensor, kappa: float) -> Tensor:
    """The penalty `mu` of each sample; infinite where the views agree.

    Args:
        gradient: Of half the disagreement by lambda at 1, `(B, m)`.
        energy: What is said at all, `(B, m)`: the scale on which agreement is judged.
        kappa: Share of the largest gradient.
    """
    largest = gradient.abs().amax(1)
    agreed = largest <= _NOTHING * energy.amax(1)
    return torch.where(agreed, torch.inf, kappa * largest)


def shrink(free: Tensor, by: Tensor, clamp: tuple[float, float]) -> Tensor:
    """The proximal step: towards 1 by at most `by`, then into the clamp."""
    away = free - 1
    return (1 + away.sign() * (away.abs() - by).clamp_min(0)).clamp(*clamp)


def solve(gram: Tensor, energy: Tensor, kappa: float, clamp: tuple[float, float]) -> Sizes:
    """Coordinate descent, each sample on its own, exactly to rounding.

    The penalty and the clamp are sums over coordinates, so the descent reaches the optimum (Tseng
    2001, "Convergence of a block coordinate descent method").

    Args:
        gram: `G (B, m, m)`, float64, on the CPU.
        energy: `(B, m)`, see `penalty`.
        kappa: See `penalty`.
        clamp: The least and the greatest lambda.
    """
    mu = penalty(gram.sum(2), energy, kappa)
    rows = [
        _descend(g.numpy(), float(m), clamp) if bool(torch.isfinite(m)) else np.ones(len(g))
        for g, m in zip(gram, mu, strict=True)
    ]
    values = torch.from_numpy(np.stack(rows))
    before = 0.5 * gram.sum((1, 2))
    fit = 0.5 * torch.einsum("bi,bij,bj->b", values, gram, values)
    away = (values - 1).abs().sum(1)
    return Sizes(values, before, fit + torch.where(away > 0, mu * away, 0))


def _descend(g: NDArray[np.float64], mu: float, clamp: tuple[float, float]) -> NDArray[np.float64]:
    values = np.ones(len(g))
    slope = g.sum(1)  # G lambda, kept up to date
    floor = _NOTHING * float(g.diagonal().max(initial=0.0))
    for _ in range(_SWEEPS):
        largest = 0.0
        for i in range(len(g)):
            curve = g[i, i]
            if curve <= floor:  # nobody contradicts this view
                continue
            away = values[i] - slope[i] / curve - 1
            away = np.sign(away) * max(abs(away) - mu / curve, 0.0)
            moved = min(max(1 + away, clamp[0]), clamp[1]) - values[i]
            if moved:
                values[i] += moved
                slope += moved * g[i]
                largest = max(largest, abs(moved))
        if largest <= _SETTLED:
            break
    return values
