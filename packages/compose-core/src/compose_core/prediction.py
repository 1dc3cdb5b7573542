r"""What a network says about a noisy sample, in any of the usual languages.

A prediction is kept as the clean sample `x0`. From :math:`x_t = \alpha x_0 + \sigma \epsilon` the
others follow; `x0`, `eps`, `velocity` and `flow` are the same in every schedule, so they survive
`translate`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ScheduleError, ShapeError
from compose_core.schedule import Level, Schedule
from compose_core.schedule.level import numbers


@final
@dataclass(frozen=True, eq=False)
class Prediction:
    """The clean sample that a denoiser sees in `x_t`.

    Attributes:
        x_t: The noisy sample `(B, ...)` that was asked about.
        level: Its noise level.
        x0: The predicted clean sample, of the shape of `x_t`.
    """

    x_t: Tensor
    level: Level
    x0: Tensor

    def __post_init__(self) -> None:
        """Check that `x0` answers for every element of `x_t`.

        Raises:
            ShapeError: The shapes differ.
        """
        if self.x0.shape != self.x_t.shape:
            raise ShapeError(
                "a prediction has another shape than its input",
                got=tuple(self.x0.shape),
                expected=tuple(self.x_t.shape),
            )

    @classmethod
    def from_x0(cls, x_t: Tensor, level: Level, x0: Tensor) -> Prediction:
        """From the clean sample itself (`prediction_type="sample"`)."""
        return cls(x_t, level, x0)

    @classmethod
    def from_eps(cls, x_t: Tensor, level: Level, eps: Tensor) -> Prediction:
        """From the noise (`prediction_type="epsilon"`): `x0 = (x_t - sigma eps) / alpha`.

        Raises:
            ScheduleError: The level is pure noise, where `eps` says nothing about `x0`.
        """
        if bool((level.alpha == 0).any()):
            raise ScheduleError(
                "a noise prediction cannot be used at pure noise",
                got=f"alpha = 0 at t = {numbers(level.t)}",
                expected="alpha > 0",
                remedy="use a network with v-prediction for zero terminal SNR, or start later",
            )
        alpha, sigma = level.to_like(x_t)
        return cls(x_t, level, (x_t - sigma * eps) / alpha)

    @classmethod
    def from_velocity(cls, x_t: Tensor, level: Level, velocity: Tensor) -> Prediction:
        """From v (`prediction_type="v_prediction"`); see `velocity`."""
        alpha, sigma = level.to_like(x_t)
        norm = torch.hypot(alpha, sigma)
        return cls(x_t, level, (alpha * x_t / norm - sigma * velocity) / norm)

    @classmethod
    def from_flow(cls, x_t: Tensor, level: Level, flow: Tensor) -> Prediction:
        """From the direction of a rectified flow: `x0 = (x_t - sigma flow) / (alpha + sigma)`."""
        alpha, sigma = level.to_like(x_t)
        return cls(x_t, level, (x_t - sigma * flow) / (alpha + sigma))

    @property
    def eps(self) -> Tensor:
        """The noise, `(x_t - alpha x0) / sigma`.

        Raises:
            ScheduleError: The level is clean, so that there is no noise to name.
        """
        alpha, sigma = self._noisy()
        return (self.x_t - alpha * self.x0) / sigma

    @property
    def score(self) -> Tensor:
        """The gradient of `log p(x_t)`, `(alpha x0 - x_t) / sigma^2` (Tweedie).

        Raises:
            ScheduleError: The level is clean.
        """
        alpha, sigma = self._noisy()
        return (alpha * self.x0 - self.x_t) / sigma**2

    @property
    def velocity(self) -> Tensor:
        """`(alpha eps - sigma x0) / hypot(alpha, sigma)`, Salimans & Ho 2022 (arXiv 2202.00512).

        The divisor is 1 in a variance-preserving schedule; with it, v is the same in all of them.

        Raises:
            ScheduleError: The level is clean.
        """
        alpha, sigma = self._noisy()
        norm = torch.hypot(alpha, sigma)
        return (alpha * self.x_t / norm - norm * self.x0) / sigma

    @property
    def flow(self) -> Tensor:
        """`eps - x0`, the direction of a rectified flow.

        Raises:
            ScheduleError: The level is clean.
        """
        alpha, sigma = self._noisy()
        return (self.x_t - (alpha + sigma) * self.x0) / sigma

    def replace_x0(self, x0: Tensor) -> Prediction:
        """The same question with another answer."""
        return replace(self, x0=x0)

    def at(self, x_t: Tensor, level: Level) -> Prediction:
        """The same answer to the same question in another schedule (see `translate`)."""
        return Prediction(x_t, level, self.x0)

    def _noisy(self) -> tuple[Tensor, Tensor]:
        if bool((self.level.sigma == 0).any()):
            raise ScheduleError(
                "a clean sample has no noise to predict",
                got=f"sigma = 0 at t = {numbers(self.level.t)}",
                expected="sigma > 0",
                remedy="use x0 here",
            )
        return self.level.to_like(self.x_t)


def translate(x_t: Tensor, level: Level, schedule: Schedule) -> tuple[Tensor, Level]:
    """Say the same noisy sample in another schedule.

    Args:
        x_t: Noisy sample `(B, ...)`.
        level: Its level, of any schedule.
        schedule: The schedule to say it in, such as the one that a network was trained on.

    Returns:
        `x_t` rescaled, and the level of `schedule` with the same `sigma / alpha`. A prediction of
        `x0` there is the prediction of `x0` here; `x_t` comes back untouched if nothing changes.

    Raises:
        ScheduleError: The level does not exist in `schedule`.
    """
    matched = schedule.match(level)
    return rescale(x_t, level, matched), matched


def rescale(x_t: Tensor, level: Level, other: Level) -> Tensor:
    """`x_t` at `level` as it reads at `other`, a level with the same `sigma / alpha`."""
    if torch.equal(level.alpha, other.alpha) and torch.equal(level.sigma, other.sigma):
        return x_t
    # The ratio of norms is alpha'/alpha and sigma'/sigma at once, and defined where either is 0.
    scale = torch.hypot(other.alpha, other.sigma) / torch.hypot(level.alpha, level.sigma)
    factor, _ = Level(scale, scale, other.t).to_like(x_t)
    return x_t * factor
