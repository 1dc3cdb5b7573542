"""Schedules with continuous time: EDM's, and rectified flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ScheduleError
from compose_core.schedule.level import Level, Schedule, as_time, check_steps, numbers


@final
@dataclass(frozen=True)
class KarrasVE(Schedule):
    r"""Exploding variance with `alpha = 1` and `t = sigma`.

    The levels follow equation 5 of Karras et al. 2022 (EDM, arXiv 2206.00364):

    .. math:: \sigma_i = \Big(\sigma_{max}^{1/\rho} + \tfrac{i}{N-1}
              \big(\sigma_{min}^{1/\rho} - \sigma_{max}^{1/\rho}\big)\Big)^\rho,
              \quad \sigma_N = 0.

    Attributes:
        sigma_min: Last level before the clean one, in units of the data.
        sigma_max: First level.
        rho: How much the steps crowd at low noise; 1 is even spacing.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ScheduleError: Not `0 < sigma_min <= sigma_max`, or `rho` not positive.
        """
        if not (0 < self.sigma_min <= self.sigma_max < float("inf") and self.rho > 0):
            raise ScheduleError(
                "impossible EDM schedule",
                got=self,
                expected="0 < sigma_min <= sigma_max, rho > 0",
            )

    def level(self, t: Tensor | float) -> Level:
        """The level with `sigma = t`; any `t >= 0`."""
        sigma = as_time(t)
        if not bool((sigma >= 0).all()):
            raise ScheduleError(
                "impossible noise level", got=numbers(sigma), expected="sigma >= 0"
            )
        return Level(torch.ones_like(sigma), sigma, sigma)

    def match(self, level: Level) -> Level:
        """The level `sigma / alpha`."""
        if bool((level.alpha == 0).any()):
            raise ScheduleError(
                "pure noise has no level in an exploding-variance schedule",
                got=f"alpha = 0 at t = {numbers(level.t)}",
                expected="alpha > 0",
                remedy="start at a slightly cleaner level, or match with Rectified()",
            )
        return self.level(level.ratio)

    def levels(self, steps: int) -> tuple[Level, ...]:
        """EDM's levels: `steps` of them from `sigma_max` to `sigma_min`, then 0."""
        check_steps(steps)
        ramp = torch.linspace(0, 1, steps, dtype=torch.float64)  # a single step stays at sigma_max
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        sigmas = torch.cat([(high + ramp * (low - high)) ** self.rho, torch.zeros(1).double()])
        return tuple(self.level(sigma) for sigma in sigmas)


@final
@dataclass(frozen=True)
class Rectified(Schedule):
    r"""Straight lines from noise to picture: `alpha = 1 - t`, `sigma = t`, `t` in [0, 1].

    Liu et al. 2023 (arXiv 2209.03003), Lipman et al. 2023. `shift` moves the levels of a sampler
    towards noise for large pictures, equation 23 of Esser et al. 2024 (arXiv 2403.03206):
    :math:`t' = s t / (1 + (s - 1) t)`. It does not change what a given `t` means.

    Attributes:
        shift: The ratio `s`; 1 is even spacing.
    """

    shift: float = 1.0

    def __post_init__(self) -> None:
        """Check the shift.

        Raises:
            ScheduleError: It is not positive.
        """
        if not 0 < self.shift < float("inf"):
            raise ScheduleError("impossible shift", got=self.shift, expected="> 0")

    def level(self, t: Tensor | float) -> Level:
        """The level with `sigma = t`, `t` in [0, 1]."""
        t = as_time(t)
        if not bool(((t >= 0) & (t <= 1)).all()):
            raise ScheduleError("time outside the flow", got=numbers(t), expected="0 <= t <= 1")
        return Level(1 - t, t, t)

    def match(self, level: Level) -> Level:
        """The level `t = sigma / (alpha + sigma)`."""
        total = level.alpha + level.sigma
        return Level(level.alpha / total, level.sigma / total, level.sigma / total)

    def levels(self, steps: int) -> tuple[Level, ...]:
        """`steps + 1` shifted times from 1 down to 0."""
        check_steps(steps)
        t = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        return tuple(self.level(value) for value in self.shift * t / (1 + (self.shift - 1) * t))
