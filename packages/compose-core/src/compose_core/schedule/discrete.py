"""Variance-preserving diffusion in discrete time: the schedule of Stable Diffusion and its kin."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from typing import Any, Literal, cast, final

import numpy as np
import torch
from torch import Tensor

from compose_core.errors import ScheduleError
from compose_core.schedule.betas import betas_from_config
from compose_core.schedule.level import Level, Schedule, as_time, check_steps, numbers

Spacing = Literal["leading", "trailing", "linspace"]

_SPACINGS: tuple[Spacing, ...] = ("leading", "trailing", "linspace")
_PURE_NOISE = 2.0**-24  # stands for alpha_bar = 0 between two times, where log-SNR is infinite
_SAME_ANGLE = 1e-12  # levels closer than this (radians) are one level


@final
class DiscreteVP(Schedule):
    r"""`alpha = sqrt(alpha_bar_t)`, `sigma = sqrt(1 - alpha_bar_t)` (Ho et al. 2020).

    `t` counts 0..T-1, as the networks of diffusers want it. Between two integers the log-SNR is
    interpolated linearly. The clean level carries `t = 0`.

    Args:
        betas: Variances `(T,)` of the forward steps, in (0, 1]. `alpha_bar` is accumulated in
            their own dtype: float32 gives the tables of diffusers bit for bit.
        spacing: Which of the T times a sampler visits; table 2 of arXiv 2305.08891.
        steps_offset: Added to the times of `leading` spacing.
        set_alpha_to_one: Whether a sampler ends clean, or (as SD 1 was configured) at `t = 0`.

    Raises:
        ScheduleError: Betas outside (0, 1] or not a vector, or an unknown spacing.
    """

    def __init__(
        self,
        betas: Tensor,
        *,
        spacing: Spacing = "leading",
        steps_offset: int = 0,
        set_alpha_to_one: bool = True,
    ) -> None:
        if betas.dim() != 1 or len(betas) < 2 or not bool(((betas > 0) & (betas <= 1)).all()):
            span = f"shape {tuple(betas.shape)}, from {betas.min()} to {betas.max()}"
            raise ScheduleError("impossible betas", got=span, expected="(T,) values in (0, 1]")
        if spacing not in _SPACINGS:
            raise ScheduleError("unknown timestep spacing", got=spacing, expected=_SPACINGS)
        self.spacing: Spacing = spacing
        self.steps_offset = steps_offset
        self.set_alpha_to_one = set_alpha_to_one
        self.alphas_cumprod = (1 - betas).cumprod(0).double()
        positive = self.alphas_cumprod[self.alphas_cumprod > 0]
        floored = self.alphas_cumprod.clamp_min(min(_PURE_NOISE, float(positive.min()) / 2))
        self._noisiness = (1 - floored).log() - floored.log()  # -log SNR, ascending in t
        if not bool((self._noisiness.diff() > 0).all()):
            raise ScheduleError("the noise of a schedule must grow at every step")
        table = self.level(torch.arange(len(self)))
        self._pairs = list(zip(map(float, table.alpha), map(float, table.sigma), strict=True))
        self._times = {pair: t for t, pair in enumerate(self._pairs)}
        self._ascending = [float(value) for value in self._noisiness]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DiscreteVP:
        """The schedule of a diffusers scheduler config, of any class that lists betas.

        How a scheduler samples (its order, Karras sigmas, clipping) is not part of a schedule and
        is not read.

        Raises:
            ScheduleError: The config belongs to a scheduler without betas, or is not understood.
        """
        owner = str(config.get("_class_name", ""))
        if owner.startswith(("FlowMatch", "EDM")):
            raise ScheduleError(
                "this scheduler config has no betas",
                got=owner,
                expected="a config with beta_schedule or trained_betas",
                remedy="use Rectified for flow matching, KarrasVE for EDM",
            )
        return cls(
            betas_from_config(config),
            spacing=cast(Spacing, config.get("timestep_spacing", "leading")),
            steps_offset=int(config.get("steps_offset", 0)),
            set_alpha_to_one=bool(config.get("set_alpha_to_one", True)),
        )

    def __len__(self) -> int:
        """The number T of training times."""
        return len(self.alphas_cumprod)

    def level(self, t: Tensor | float) -> Level:
        """The level at `t` in [0, T-1]; exact at integers, log-SNR interpolated between."""
        t = as_time(t)
        if not bool(((t >= 0) & (t <= len(self) - 1)).all()):
            raise ScheduleError(
                "time outside the schedule", got=numbers(t), expected=f"0 <= t <= {len(self) - 1}"
            )
        table, noisiness = self.alphas_cumprod.to(t.device), self._noisiness.to(t.device)
        low = t.floor().long().clamp_max(len(self) - 2)
        mixed = torch.lerp(noisiness[low], noisiness[low + 1], t - low)
        whole, exact = t == t.round(), table[t.round().long()]
        alpha = torch.where(whole, exact.sqrt(), torch.sigmoid(-mixed).sqrt())
        sigma = torch.where(whole, (1 - exact).sqrt(), torch.sigmoid(mixed).sqrt())
        return Level(alpha, sigma, t)

    def match(self, level: Level) -> Level:
        """The level with the same ratio; one that is in the table comes back exactly."""
        alphas, sigmas = level.alpha.reshape(-1), level.sigma.reshape(-1)
        rows = [self._match(float(a), float(s)) for a, s in zip(alphas, sigmas, strict=True)]
        values = torch.tensor(rows, dtype=torch.float64, device=level.t.device)
        return Level(*(column.reshape(level.shape) for column in values.unbind(1)))

    def _match(self, alpha: float, sigma: float) -> tuple[float, float, float]:
        """Alpha, sigma and t for one sample; plain floats, for this runs at every question."""
        if (alpha, sigma) in self._times:
            return alpha, sigma, self._times[alpha, sigma]
        norm = math.hypot(alpha, sigma)
        alpha, sigma = alpha / norm, sigma / norm
        t = self._time(alpha, sigma)
        near_alpha, near_sigma = self._pairs[round(t)]
        if abs(alpha * near_sigma - sigma * near_alpha) < _SAME_ANGLE:
            return near_alpha, near_sigma, round(t)
        return alpha, sigma, t

    def _time(self, alpha: float, sigma: float) -> float:
        """Invert the interpolation of `level`; stops at the ends."""
        if alpha == 0 or sigma == 0:
            return 0.0 if sigma == 0 else len(self) - 1.0
        noisiness = 2 * (math.log(sigma) - math.log(alpha))
        low = min(max(bisect.bisect_left(self._ascending, noisiness) - 1, 0), len(self) - 2)
        below, above = self._ascending[low : low + 2]
        return low + min(max((noisiness - below) / (above - below), 0.0), 1.0)

    def times(self, steps: int, *, spacing: Spacing | None = None) -> tuple[int, ...]:
        """The times that a sampler of so many steps visits, noisy first.

        Raises:
            ScheduleError: More steps than times, or an offset that leaves the schedule (`leading`
                with offset 1 has no room for T steps).
        """
        check_steps(steps, most=len(self))
        spacing = spacing or self.spacing
        if spacing == "leading":
            times = np.arange(steps)[::-1] * (len(self) // steps) + self.steps_offset
        elif spacing == "trailing":
            times = np.round(len(self) - np.arange(steps) * (len(self) / steps)) - 1
        else:
            times = np.linspace(0, len(self) - 1, steps).round()[::-1]
        if times[0] > len(self) - 1:
            raise ScheduleError(
                f"{steps} steps do not fit in the schedule with leading spacing",
                got=f"a first time of {times[0]} (steps_offset = {self.steps_offset})",
                expected=f"at most {len(self) - 1}",
                remedy='take fewer steps, or spacing "trailing"',
            )
        return tuple(int(t) for t in times)

    def levels(self, steps: int, *, spacing: Spacing | None = None) -> tuple[Level, ...]:
        """The levels at `times`, then the clean one (or the one at `t = 0`, see the class)."""
        visited = tuple(self.level(t) for t in self.times(steps, spacing=spacing))
        return (*visited, Level.of(1.0, 0.0, 0.0) if self.set_alpha_to_one else self.level(0))
