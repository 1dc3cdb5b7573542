r"""The canvas that agrees best with what was said about its views.

.. math:: X^* = \arg\min_X \sum_i \| W_i^{1/2} (A_i X - y_i) \|^2

When every view is a crop, :math:`\sum_i A_i' W_i A_i` is diagonal and the answer is a weighted
average: with weights normalised to a partition of unity, :math:`X^* = \sum_i A_i' W_i y_i`, the
overlap average of MultiDiffusion (Bar-Tal et al. 2023, Eq. 5). Other views need a linear solve,
here by conjugate gradients on the normal equations, each sample on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from compose_core.errors import ComposeError, ShapeError
from compose_core.views import Profile, View, profile

Weights = Profile | Sequence[Tensor]
"""The name of a profile for all views, or a tensor of weights `>= 0` for the cells of each."""


def raw_weights(views: Sequence[View], weights: Weights, x: Tensor) -> list[Tensor]:
    """The weights of each view as float64, at least `(1, 1, *observed)`, not normalised.

    Args:
        views: The views.
        weights: A profile, or one tensor per view that broadcasts to what it observes.
        x: A canvas `(B, C, *spatial)`; only its shape matters.

    Raises:
        ShapeError: There is not one tensor per view, one does not broadcast, or has a negative
            or non-finite value.
    """
    observed = [view.observe(x) for view in views]
    if isinstance(weights, str):
        return [profile(weights, y.shape[2:])[None, None] for y in observed]
    if len(weights) != len(views):
        raise ShapeError(
            "weights are given per view", got=len(weights), expected=f"{len(views)} tensors"
        )
    return [_checked(w, y) for w, y in zip(weights, observed, strict=True)]


def partition(views: Sequence[View], weights: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """Weights of crops, normalised so that they sum to one in each cell of the canvas.

    Args:
        views: Crops (`View.crops`).
        weights: From `raw_weights`.
        x: A canvas `(B, C, *spatial)`; only its shape matters.

    Returns:
        Float64 weights, each broadcastable to what its view observes.

    Raises:
        ShapeError: A cell has no weight at all.
    """
    lead = [max(w.shape[axis] for w in weights) for axis in (0, 1)]
    total = torch.zeros((*lead, *x.shape[2:]), dtype=torch.float64)
    for view, w in zip(views, weights, strict=True):
        total = view.accumulate(total, w.expand(*lead, *w.shape[2:]), x.shape[2:])
    require_cover(total)
    return [w / view.observe(total) for view, w in zip(views, weights, strict=True)]


def require_trust(views: Sequence[View], weights: Sequence[Tensor], x: Tensor) -> None:
    """Refuse a canvas with cells that no view shows with a positive weight.

    Such a cell is a zero column of every :math:`W_i A_i`. For random numbers `u`,
    :math:`A_i' W_i u` is zero there and, with probability one, nowhere else, whatever the signs
    in :math:`A_i`.

    Args:
        views: Any views.
        weights: From `raw_weights`.
        x: A canvas `(B, C, *spatial)`; only its shape matters.

    Raises:
        ShapeError: There are some.
    """
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros((), dtype=torch.float64)
    for view, w in zip(views, weights, strict=True):
        u = 1 + torch.rand(view.observe(x).shape, generator=generator, dtype=torch.float64)
        total = total + view.adjoint(w * u, x.shape[2:]).abs()
    require_cover(total)


def require_cover(total: Tensor) -> None:
    """Refuse a canvas that has cells without any weight, or with more than a number can hold.

    Raises:
        ShapeError: There are some.
    """
    if not bool(torch.isfinite(total).all()):
        raise ShapeError(
            "the weights of the views are too large to be added",
            got=f"{int((~torch.isfinite(total)).sum())} of {total.numel()} sums not finite",
            expected="finite sums",
            remedy="make all of them smaller: only their ratios matter",
        )
    bare = int((total <= 0).sum())
    if bare:
        raise ShapeError(
            "the views leave cells of the canvas uncovered",
            got=f"{bare} of {total.numel()} cells without weight",
            expected="at least one view with a positive weight for each cell",
            remedy="make the windows with compose_core.views.cover, or add a Whole view",
        )


def agree(
    views: Sequence[View], weights: Sequence[Tensor], observations: Sequence[Tensor], x: Tensor
) -> Tensor:
    """The least-squares canvas.

    Where the views leave a direction open, the answer is the one of least norm.

    Args:
        views: The views. When all are crops the answer is a weighted average.
        weights: For each view, broadcastable to its observation and in its dtype: from
            `partition` when all views are crops, else from `raw_weights`.
        observations: What was said about each view.
        x: A canvas `(B, C, *spatial)`, for the shape, dtype and device of the answer.

    Raises:
        ComposeError: The solve did not converge.
    """
    spatial = x.shape[2:]

    def adjoint(said: Sequence[Tensor]) -> Tensor:
        total = torch.zeros_like(x, dtype=said[0].dtype)
        for view, w, y in zip(views, weights, said, strict=True):
            total = view.accumulate(total, w.to(y.dtype) * y, spatial)
        return total

    if all(view.crops for view in views):
        return adjoint(observations)
    # The normal equations square the condition of the views; some devices have no float64.
    wide = torch.float32 if x.device.type == "mps" else torch.float64
    target = adjoint([y.to(wide) for y in observations])
    solved = conjugate_gradients(lambda z: adjoint([view.observe(z) for view in views]), target)
    return solved.to(x.dtype)


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor], target: Tensor, iterations: int = 200
) -> Tensor:
    """Solve `N x = target` for each sample, `N` symmetric and positive semidefinite.

    Hestenes & Stiefel (1952), started at zero, so that the answer has no part in the null space.
    Sums run per sample and a sample that is done stays as it is, so results do not depend on the
    batch.

    Args:
        apply: `N`, on tensors `(B, ...)`, sample by sample.
        target: `(B, ...)`.
        iterations: The most of them.

    Raises:
        ComposeError: A residual stays above the square root of the precision aimed at.
    """
    goal = 20 * torch.finfo(target.dtype).eps
    axes = tuple(range(1, target.dim()))

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(axes, keepdim=True)

    x = torch.zeros_like(target)
    residual = direction = target
    size = scale = dot(target, target)
    for _ in range(iterations):
        running = size > goal**2 * scale
        if not bool(running.any()):
            break
        image = apply(direction)
        step = torch.where(running, size / dot(direction, image).where(running, 1), 0)
        x = x + step * direction
        residual = residual - step * image
        former, size = size, dot(residual, residual)
        turn = torch.where(running, size / former.where(running, 1), 0)
        direction = residual + turn * direction
    if bool((size > goal * scale).any()):
        raise ComposeError(
            "the views could not be reconciled",
            got=f"relative residual {float((size / scale).max().sqrt()):.1e}",
            expected=f"at most {goal**0.5:.0e} in {iterations} iterations",
            remedy="check the views for masks or weights of very different size",
        )
    return x


def _checked(w: Tensor, y: Tensor) -> Tensor:
    w = w.detach().to("cpu", torch.float64)
    try:
        w.expand(y.shape)
        fits = bool((torch.isfinite(w) & (w >= 0)).all())
    except RuntimeError:
        fits = False
    if not fits:
        raise ShapeError(
            "the weights of a view do not fit it",
            got=f"shape {tuple(w.shape)}, values {float(w.min()):.3g} to {float(w.max()):.3g}",
            expected=f"finite, >= 0, broadcastable to {tuple(y.shape)}",
        )
    w = w.reshape((1,) * (y.dim() - w.dim()) + w.shape)
    return w.expand(-1, -1, *y.shape[2:])
