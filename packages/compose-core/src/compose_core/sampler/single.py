"""Samplers of one evaluation per step: DDIM and Euler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor

from compose_core.denoiser import Denoiser, State, Step
from compose_core.errors import ScheduleError
from compose_core.noise import normal_like
from compose_core.sampler.interface import Moment, StepByStep, predict
from compose_core.schedule import Level


@final
class DDIM(StepByStep):
    r"""Song et al. 2021, "Denoising diffusion implicit models" (arXiv 2010.02502), eq. 12 and 16.

    With the schedule written out, the step from level t to level s is

    .. math::
        x_s = \alpha_s x_0 + \sqrt{\sigma_s^2 - \tilde\sigma^2}\, \epsilon + \tilde\sigma z,
        \qquad \tilde\sigma^2 = \eta^2 \sigma_s^2
        \Big(1 - \frac{\alpha_t^2 \sigma_s^2}{\alpha_s^2 \sigma_t^2}\Big), \quad z \sim N(0, 1).

    It holds in any schedule. `eta = 0` is deterministic, and may also walk upwards (inversion);
    `eta = 1` is ancestral sampling. Evaluations: one per step.

    Args:
        levels: The levels to visit, such as `schedule.levels(steps)`.
        eta: Share of the ancestral noise, in [0, 1].

    Raises:
        ScheduleError: `eta` outside [0, 1], or levels that cannot be walked.
    """

    def __init__(self, levels: Sequence[Level], eta: float = 0.0) -> None:
        super().__init__(levels)
        if not 0 <= eta <= 1:
            raise ScheduleError("eta is a share of noise", got=eta, expected="0 <= eta <= 1")
        self.eta = eta

    def advance(self, denoiser: Denoiser, x_t: Tensor, step: Step, state: State) -> Moment:
        """One step of equation 12."""
        state = denoiser.adapt(state, x_t, step)
        prediction = predict(denoiser, x_t, step.now, state, step)
        variance = self._variance(step.now, step.next)
        direction = (step.next.sigma**2 - variance).sqrt()
        x_t = step.next.alpha * prediction.x0 + direction * prediction.eps
        if bool(variance > 0):
            x_t = x_t + variance.sqrt() * normal_like(x_t, step.generator)
        return Moment(step, x_t, prediction, state)

    def _variance(self, now: Level, after: Level) -> Tensor:
        kept = (now.alpha * after.sigma) / (after.alpha * now.sigma)
        return self.eta**2 * after.sigma**2 * (1 - kept**2).clamp_min(0)


@final
class Euler(StepByStep):
    r"""Euler's method for the probability flow.

    In `x / alpha` and `sigma / alpha` the flow is :math:`d\bar x / d\bar\sigma = \epsilon`
    (Karras et al. 2022, eq. 1 and 3), and its Euler step, written in any schedule, is

    .. math:: x_s = \frac{\sigma_s}{\sigma_t} x_t
              + \Big(\alpha_s - \alpha_t \frac{\sigma_s}{\sigma_t}\Big) x_0.

    The straight path of a rectified flow gives the same step, and so does DDIM with `eta = 0`.
    Order 1; evaluations: one per step.

    Args:
        levels: The levels to visit.
    """

    def advance(self, denoiser: Denoiser, x_t: Tensor, step: Step, state: State) -> Moment:
        """One step along the tangent."""
        state = denoiser.adapt(state, x_t, step)
        prediction = predict(denoiser, x_t, step.now, state, step)
        shrink = step.next.sigma / step.now.sigma
        x_t = shrink * x_t + (step.next.alpha - step.now.alpha * shrink) * prediction.x0
        return Moment(step, x_t, prediction, state)
