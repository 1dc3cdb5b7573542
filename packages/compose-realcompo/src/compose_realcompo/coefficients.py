r"""The coefficients of the balancer: who is believed how much, in every latent pixel.

K denoisers have coefficients `Coe` (K, B, 1, h, w); a softmax over K makes shares of them that sum
to one (Eq. 2), so it is the same whether predictions of noise or of clean samples are blended
(Eq. 3). A deterministic step from level t to level s is linear in the blend,

.. math::
    x_s = \frac{\sigma_s}{\sigma_t} x_t + c\, x_0, \qquad
    c = \alpha_s - \alpha_t \frac{\sigma_s}{\sigma_t}, \qquad x_0 = \sum_k \xi_k x_0^k,

and the predictions at t do not depend on the coefficients. So the gradient of any loss of x_s has
a closed form, of which only :math:`g = \partial L / \partial x_s` has to be computed:

.. math:: \frac{\partial L}{\partial Coe_k} = c\, \xi_k \sum_{channels} g\, (x_0^k - x_0).

The paper's Eq. 17 keeps the term of the own branch alone, which is not the derivative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from compose_core.noise import Generators, normal
from compose_core.schedule import Level

__all__ = ["blend", "gradient", "initial", "rate", "shares", "slope", "stepped"]


def initial(
    count: int, x_t: Tensor, generator: Generators | None, *, equal: bool = True
) -> Tensor:
    """Coefficients (K, B, 1, h, w) before the first step.

    Args:
        count: K.
        x_t: Noisy samples (B, C, h, w).
        generator: Where they are drawn from; without one they are zero.
        equal: One draw for all denoisers, so that all begin with the same share (Eq. 1); else one
            for each, as the published code does.
    """
    shape = (x_t.shape[0], 1, *x_t.shape[2:])
    if generator is None:
        return x_t.new_zeros((count, *shape))
    times = 1 if equal else count
    drawn = [normal(shape, generator, device=x_t.device, dtype=x_t.dtype) for _ in range(times)]
    return torch.stack(drawn).expand(count, *shape).clone()


def shares(coefficients: Tensor) -> Tensor:
    """Eq. 2: softmax over the denoisers, of the shape of `coefficients`."""
    return coefficients.softmax(0)


def blend(xi: Tensor, x0: Sequence[Tensor]) -> Tensor:
    """Eq. 3: the predictions (B, C, h, w) of all denoisers, mixed by their shares."""
    total = torch.zeros_like(x0[0])
    for share, each in zip(xi, x0, strict=True):
        total = total + share * each
    return total


def slope(now: Level, after: Level, like: Tensor) -> Tensor:
    """`c` of a deterministic step: how far x_s moves with x_0; (B or 1, 1, 1, 1)."""
    alpha_t, sigma_t = now.to_like(like)
    alpha_s, sigma_s = after.to_like(like)
    return torch.as_tensor(alpha_s - alpha_t * sigma_s / sigma_t)


def stepped(x_t: Tensor, x0: Tensor, now: Level, after: Level) -> Tensor:
    """Eq. 12 without noise: the deterministic step from `now` to `after`."""
    _, sigma_t = now.to_like(x_t)
    _, sigma_s = after.to_like(x_t)
    return x_t * (sigma_s / sigma_t) + slope(now, after, x_t) * x0


def gradient(xi: Tensor, x0: Sequence[Tensor], g: Tensor, c: Tensor) -> Tensor:
    """The derivative of a loss by the coefficients, (K, B, 1, h, w), from that by x_s.

    Args:
        xi: Shares (K, B, 1, h, w) with which x_s was made.
        x0: The K predictions (B, C, h, w) of which it was made.
        g: Derivative of the loss by x_s, (B, C, h, w).
        c: See `slope`.
    """
    mixed = blend(xi, x0)
    rows = [(g * (each - mixed)).sum(1, keepdim=True) for each in x0]
    return c * xi * torch.stack(rows)


def rate(index: int, total: int, scale: float) -> float:
    """The updating rate of step `index` of `total`: `scale sqrt(1 - i / (2 (T - 1)))`.

    The published code uses a scale of 1e6 for latents of 64 x 64. The loss is of order one
    whatever the size, so the derivative by one pixel falls with the number of pixels.
    """
    passed = index / (total - 1) if total > 1 else 0.0
    return scale * math.sqrt(1.0 - 0.5 * passed)
