r"""EDM's preconditioning, between what a network computes and what it means.

Karras et al. 2022 (arXiv 2206.00364), table 1, with :math:`x = x_0 + \sigma \epsilon`:

.. math::
    D(x, \sigma) &= c_{skip} x + c_{out} F(c_{in} x, c_{noise}), \\
    c_{skip} &= \frac{\sigma_d^2}{\sigma^2 + \sigma_d^2}, \quad
    c_{out} = \frac{\sigma \sigma_d}{\sqrt{\sigma^2 + \sigma_d^2}}, \quad
    c_{in} = \frac{1}{\sqrt{\sigma^2 + \sigma_d^2}}, \quad
    c_{noise} = \tfrac14 \ln \sigma, \\
    \lambda &= 1 / c_{out}^2, \qquad \ln \sigma \sim N(P_{mean}, P_{std}^2).

In a schedule with a scale, :math:`x_t = \alpha x_0 + \sigma \epsilon`, the same is said of
:math:`x_t / \alpha` and :math:`\sigma / \alpha`; written as here it also holds at pure noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_core.schedule import KarrasVE, Level

__all__ = ["Precondition", "Spread"]

_LEAST_ALPHA = 1e-4
"""Below it `ln sigma / alpha` says the same to a network; at pure noise it would be infinite."""


@final
@dataclass(frozen=True)
class Precondition:
    r"""The coefficients for data of standard deviation :math:`\sigma_d`.

    Attributes:
        sigma_data: :math:`\sigma_d`; 0.5 for pictures in [-1, 1], 0.2 for the music of the paper.

    Raises:
        UsageError: It is not positive.
    """

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        """Check it."""
        if not 0 < self.sigma_data < float("inf"):
            raise UsageError("impossible sigma_data", got=self.sigma_data, expected="> 0")

    def skip(self, level: Level) -> Level:
        r"""What :math:`x_t` is multiplied by: :math:`c_{skip} / \alpha`, as `alpha` of a level.

        And :math:`c_{out}` as its `sigma`. In this form both fit samples (`Level.to_like`).
        """
        alpha, sigma = level.alpha, level.sigma
        total = sigma**2 + (alpha * self.sigma_data) ** 2
        return Level(
            self.sigma_data**2 * alpha / total, self.sigma_data * sigma / total.sqrt(), level.t
        )

    def scale(self, level: Level) -> Tensor:
        r""":math:`c_{in}` for a level with `alpha = 1`."""
        return 1 / torch.sqrt(level.sigma**2 + self.sigma_data**2)

    def noise(self, level: Level) -> Tensor:
        r""":math:`c_{noise}`, of the shape of the level."""
        return (level.sigma / level.alpha.clamp_min(_LEAST_ALPHA)).log() / 4

    def weight(self, level: Level) -> Tensor:
        r""":math:`\lambda`, of the shape of the level."""
        return self.skip(level).sigma ** -2

    def wrap(self, output: Tensor, x_t: Tensor, level: Level) -> Tensor:
        """`D` from the output `F`."""
        skip, out = self.skip(level).to_like(x_t)
        return skip * x_t + out * output

    def unwrap(self, x0: Tensor, x_t: Tensor, level: Level) -> Tensor:
        """`F` from `D`: what a network with this preconditioning put out, or would have."""
        skip, out = self.skip(level).to_like(x_t)
        return (x0 - skip * x_t) / out


@final
@dataclass(frozen=True)
class Spread:
    r"""The noise levels of training: :math:`\ln \sigma \sim N(mean, std^2)`.

    Attributes:
        mean: EDM -1.2; the paper -3 for music, -1 for pictures.
        std: EDM 1.2; the paper 1 for music, 1.6 for pictures.
    """

    mean: float = -1.2
    std: float = 1.2

    def draw(self, batch: int, generator: torch.Generator) -> Level:
        """Levels `(batch,)`, one for each sample."""
        normal = torch.randn(batch, generator=generator, device=generator.device)
        return KarrasVE().level((self.mean + self.std * normal.double().cpu()).exp())

    def even(self, batch: int) -> Level:
        """Levels `(batch,)` at even quantiles: the same for everyone, for validation."""
        share = (torch.arange(batch, dtype=torch.float64) + 0.5) / batch
        return KarrasVE().level((self.mean + self.std * torch.special.ndtri(share)).exp())
