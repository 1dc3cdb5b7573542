"""Heun's method with churn: the sampler of EDM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, final

from torch import Tensor

from compose_core.denoiser import Denoiser, State, Step
from compose_core.errors import ScheduleError
from compose_core.noise import Generators, normal_like
from compose_core.prediction import Prediction, rescale, translate
from compose_core.sampler.interface import Moment, StepByStep, predict
from compose_core.schedule import KarrasVE, Level, Rectified

_MOST_CHURN = math.sqrt(2) - 1

Path = Literal["sigma", "flow"]


@final
class Heun(StepByStep):
    r"""Algorithm 2 of Karras et al. 2022 (EDM, arXiv 2206.00364).

    For N steps over noise levels :math:`\sigma_i`, with `D` the denoiser:

    .. math::
        \gamma &= \min(S_{churn} / N, \sqrt 2 - 1)
                  \text{ if } S_{min} \le \sigma_i \le S_{max} \text{ else } 0 \\
        \hat\sigma &= (1 + \gamma) \sigma_i, \qquad
        \hat x = x_i + \sqrt{\hat\sigma^2 - \sigma_i^2}\, S_{noise}\, z \\
        d &= (\hat x - D(\hat x, \hat\sigma)) / \hat\sigma, \qquad
        x_{i+1} = \hat x + (\sigma_{i+1} - \hat\sigma) d \\
        d' &= (x_{i+1} - D(x_{i+1}, \sigma_{i+1})) / \sigma_{i+1}, \qquad
        x_{i+1} = \hat x + (\sigma_{i+1} - \hat\sigma) \tfrac12 (d + d')

    with the last line pair left out at :math:`\sigma_{i+1} = 0`. Order 2; evaluations: `2 N - 1`
    when the last level is clean. Levels of any schedule will do: the steps are taken in
    `x / alpha`, and the denoiser is asked there (networks translate to their own schedule).

    Args:
        levels: The levels to visit, N + 1 of them.
        churn: `S_churn`: total amount of fresh noise; 0 is deterministic.
        s_min: Churn only from this `sigma / alpha` on...
        s_max: ...up to this one.
        s_noise: Standard deviation of the fresh noise, slightly above 1 to counter lost detail.
        along: `"sigma"` is the algorithm above. `"flow"` takes its steps in
            `t = sigma / (alpha + sigma)`, along the straight lines of a rectified flow; it is the
            only way to start from pure noise, where `sigma / alpha` is infinite.

    Raises:
        ScheduleError: An impossible parameter, or `along="sigma"` from pure noise.
    """

    def __init__(
        self,
        levels: Sequence[Level],
        churn: float = 0.0,
        s_min: float = 0.0,
        s_max: float = math.inf,
        s_noise: float = 1.0,
        *,
        along: Path = "sigma",
    ) -> None:
        super().__init__(levels)
        if churn < 0 or s_noise < 0 or s_min > s_max:
            raise ScheduleError(
                "impossible churn",
                got=f"churn = {churn}, s_min = {s_min}, s_max = {s_max}, s_noise = {s_noise}",
                expected="churn >= 0, s_noise >= 0, s_min <= s_max",
            )
        if along == "sigma" and not all(bool(level.alpha > 0) for level in self.levels):
            raise ScheduleError(
                "EDM's Heun cannot start from pure noise",
                got="a level with alpha = 0",
                expected="alpha > 0 at every level",
                remedy='pass along="flow"',
            )
        self.churn, self.s_min, self.s_max, self.s_noise = churn, s_min, s_max, s_noise
        self.along: Path = along
        self._path = KarrasVE() if along == "sigma" else Rectified()

    def advance(self, denoiser: Denoiser, x_t: Tensor, step: Step, state: State) -> Moment:
        """Churn, an Euler step, and its correction."""
        x_t, now = self._churned(x_t, step.now, step.total, step.generator)
        x_t, now = translate(x_t, now, self._path)
        after = self._path.match(step.next)
        inner = replace(step, now=now, next=after)
        state = denoiser.adapt(state, x_t, inner)

        prediction = predict(denoiser, x_t, now, state, inner)
        slope = self._slope(prediction)
        x_next = x_t + (after.t - now.t) * slope
        if not after.is_clean:
            corrected = self._slope(predict(denoiser, x_next, after, state, inner))
            x_next = x_t + (after.t - now.t) * (slope + corrected) / 2
        return Moment(step, rescale(x_next, after, step.next), prediction, state)

    def _slope(self, prediction: Prediction) -> Tensor:
        return prediction.eps if self.along == "sigma" else prediction.flow

    def _churned(
        self, x_t: Tensor, now: Level, total: int, generator: Generators | None
    ) -> tuple[Tensor, Level]:
        """Fresh noise up to a higher level; at pure noise there is none."""
        gamma = min(self.churn / total, _MOST_CHURN)
        inside = bool(self.s_min <= now.ratio <= self.s_max) and bool(now.alpha > 0)
        if not (gamma and inside):
            return x_t, now
        x_t, now = translate(x_t, now, KarrasVE())
        raised = KarrasVE().level((1 + gamma) * now.sigma)
        spread = (raised.sigma**2 - now.sigma**2).sqrt() * self.s_noise
        return x_t + spread * normal_like(x_t, generator), raised
