r"""The paper's own way to solve Eq. 41: gradient descent on `X` and on the step sizes.

.. math:: \min_{X, \lambda} \tfrac12 \sum_i \| a_i + \lambda_i b_i - f_i(X) \|^2_{W_i}
          + \mu \sum_i |\lambda_i - 1|

The step on `X` goes down the gradient; that on :math:`\lambda_i` too, with the inverse of its
curvature :math:`\|b_i\|^2`, followed by the proximal step of the penalty (ISTA), which the paper
leaves open. For linear `f` it converges to the closed form; for others it is all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from compose_cgi.lasso import Sizes, penalty, shrink
from compose_cgi.options import Options

__all__ = ["Problem", "curvature", "descend"]

Observe = Callable[[Tensor], Tensor]

_POWER_STEPS = 30


class Problem(NamedTuple):
    """Eq. 41 at one step.

    Attributes:
        observe: The observations `f_i`.
        weights: `1 / psi_i^2` of each, broadcastable to what it observes.
        base: `a_i` of each.
        step: `b_i` of each.
        adjoint: `A_i'` of each where all are linear; others are differentiated by torch.
    """

    observe: Sequence[Observe]
    weights: Sequence[Tensor]
    base: Sequence[Tensor]
    step: Sequence[Tensor]
    adjoint: Sequence[Observe] | None = None

    def residuals(self, x: Tensor, sizes: Tensor) -> list[Tensor]:
        """`f_i(X) - y_i(lambda_i)`; `sizes` are `(B, m)`."""
        rows = zip(self.observe, self.base, self.step, sizes.to(x).unbind(1), strict=True)
        return [f(x) - a - _like(s, b) * b for f, a, b, s in rows]

    def misfit(self, x: Tensor, sizes: Tensor) -> Tensor:
        """Half the squared disagreement of each sample, `(B,)`."""
        parts = zip(self.weights, self.residuals(x, sizes), strict=True)
        return 0.5 * torch.stack([(w * r * r).flatten(1).sum(1) for w, r in parts]).sum(0)

    def slope(self, x: Tensor, sizes: Tensor) -> Tensor:
        """The derivative of the misfit by the step sizes, `(B, m)`."""
        rows = zip(self.weights, self.step, self.residuals(x, sizes), strict=True)
        return torch.stack([-(w * b * r).flatten(1).sum(1) for w, b, r in rows], 1)

    def gradient(self, x: Tensor, sizes: Tensor) -> Tensor:
        """The derivative of the misfit by `X`."""
        if self.adjoint is not None:
            rows = zip(self.adjoint, self.weights, self.residuals(x, sizes), strict=True)
            return torch.stack([pull(w * r) for pull, w, r in rows]).sum(0)
        with torch.enable_grad():
            here = x.detach().requires_grad_()
            return torch.autograd.grad(self.misfit(here, sizes).sum(), here)[0]

    def energy(self) -> Tensor:
        """`||b_i||^2` under the weights, `(B, m)`."""
        pairs = zip(self.weights, self.step, strict=True)
        return torch.stack([(w * b * b).flatten(1).sum(1) for w, b in pairs], 1)


@torch.no_grad()
def descend(
    problem: Problem, start: Tensor, options: Options, rate: Tensor | float
) -> tuple[Tensor, Sizes]:
    """`X (B, ...)` and the step sizes.

    First `X` alone goes down, with all step sizes 1, which also says what penalty would keep them
    there; then both. No derivative is taken through the descent.

    Args:
        problem: What to solve.
        start: Where `X` starts.
        options: Iterations, kappa, clamp.
        rate: Step size on `X`.
    """
    energy = problem.energy()
    sizes = torch.ones_like(energy)
    x = start
    for _ in range(options.iterations):
        x = x - rate * problem.gradient(x, sizes)
    before = problem.misfit(x, sizes)
    mu = torch.full_like(before, torch.inf)
    if options.moves:
        mu = penalty(problem.slope(x, sizes), energy, options.kappa)
        by = (mu[:, None] / energy.clamp_min(torch.finfo(x.dtype).tiny)).nan_to_num(torch.inf)
        for _ in range(options.iterations):
            x = x - rate * problem.gradient(x, sizes)
            free = sizes - problem.slope(x, sizes) / energy.clamp_min(torch.finfo(x.dtype).tiny)
            sizes = shrink(free, by, options.clamp)
    away = (sizes - 1).abs().sum(1)
    after = problem.misfit(x, sizes) + torch.where(away > 0, mu * away, 0)
    return x, Sizes(sizes.double().cpu(), before, after)


@torch.no_grad()
def curvature(problem: Problem, x: Tensor) -> Tensor:
    """How fast the gradient by `X` may change: the inverse of a good rate, `(B, ...)`.

    With `N = sum_i J_i' W_i J_i`, `J_i` the Jacobian of an observation at `x`, it is the largest
    eigenvalue of `N / D` times `D = N 1`, cell by cell: for crops that is the total trust in a
    cell, and a step reaches the average at once. Where an entry of `D` is not positive, it is the
    largest eigenvalue of `N` everywhere. By power iterations; with a margin where they have not
    settled, for they come from below. Constant for linear observations.
    """

    def normal(v: Tensor) -> Tensor:
        if problem.adjoint is not None:
            rows = zip(problem.observe, problem.weights, problem.adjoint, strict=True)
            return torch.stack([pull(w * f(v)) for f, w, pull in rows]).sum(0)
        total = torch.zeros_like(v)
        for f, w in zip(problem.observe, problem.weights, strict=True):
            pull = torch.func.vjp(f, x)[1]
            moved = torch.func.jvp(f, (x,), (v,))[1]
            total = total + pull(w * moved)[0]
        return total

    scale = normal(torch.ones_like(x))
    scale = scale if bool((scale > 0).all()) else torch.ones_like(x)
    # Not random, and with a part along every smooth and every rough direction.
    v = torch.cos(torch.arange(x[0].numel(), dtype=torch.float64) ** 2).to(x).reshape(x.shape[1:])
    v = 1.5 + v.expand_as(x)
    tiny = torch.finfo(x.dtype).tiny
    size = former = _norm(v)
    for _ in range(_POWER_STEPS):
        former = size
        v = normal(v / size) / scale
        size = _norm(v).clamp_min(tiny)
    settled = ((size - former).abs() < 1e-6 * size) & (scale > 0)
    return torch.where(settled, size, 1.05 * size) * scale


def _norm(v: Tensor) -> Tensor:
    return v.flatten(1).norm(dim=1).reshape(-1, *[1] * (v.dim() - 1))


def _like(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (x.dim() - 1))
