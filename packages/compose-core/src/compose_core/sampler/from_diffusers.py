"""Any diffusers scheduler as a sampler, without importing diffusers."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from compose_core.denoiser import Denoiser, Step
from compose_core.evaluate import Local
from compose_core.noise import Generators, normal
from compose_core.sampler.dialect import explained, rehearse, timed, understand
from compose_core.sampler.interface import (
    Evaluate,
    Moment,
    Sampler,
    begin,
    check_finite,
    predict,
)


@final
class FromDiffusers(Sampler):
    """Walks with a diffusers scheduler.

    The scheduler is copied for every run, for schedulers carry the state of a run. Each of its
    timesteps is one step here and one evaluation, so a second-order scheduler counts its inner
    evaluations as steps. Its stochastic steps draw from `generator`, wherever its `step` takes
    one.

    Every scheduler is rehearsed with its own number of steps, and refused unless it goes where its
    predictions point. Refused are those that walk to noise (`DDIMInverse`,
    `DPMSolverMultistepInverse`), need more than one prediction at one time (`CogVideoXDPM`,
    `KarrasVe`, `RePaint`, `ScoreSdeVe`, `ScoreSdeVp`, `UnCLIP`), follow a rule of their own
    (`CMStochasticIterative`, `DDPMWuerstchen`, `Helios`, `LTXEulerAncestralRF`, `Piflow`, `SCM`),
    walk on tokens, want learned variances, or break down in diffusers itself: `DDPM` with
    `"fixed_large_log"`, multistep solvers with more steps than they can tell apart.

    Args:
        scheduler: An instance of a diffusers scheduler; its class is not checked, its parts are.
        steps: For `set_timesteps`; may be `None` when `timing` says it all.
        timing: More arguments of `set_timesteps` (`sigmas`, `mu`, `timesteps`...).
        options: Arguments of every `step` (`eta`, `s_churn`...). The churn of diffusers' Euler
            leaves more noise than the next level has; `compose_core.sampler.Heun` has EDM's.

    Raises:
        ScheduleError: The scheduler is of no family known here, refuses these arguments, or goes
            astray with them.
    """

    def __init__(
        self,
        scheduler: Any,
        steps: int | None,
        *,
        timing: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._options = dict(options or {})
        with explained(scheduler):
            rehearse(scheduler, steps, timing or {}, self._options)
            self._scheduler = timed(scheduler, steps, timing or {})
            self._dialect = understand(self._scheduler)
        self.levels = tuple(self._dialect.levels)

    def initial(
        self,
        shape: Sequence[int],
        generator: Generators,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Noise `(B, ...)` of the scheduler's own `init_noise_sigma`."""
        scale = float(getattr(self._scheduler, "init_noise_sigma", 1.0))
        return normal(shape, generator, device=device, dtype=dtype) * scale

    def steps(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        *,
        generator: Generators | None = None,
        evaluator: Evaluate | None = None,
    ) -> Iterator[Moment]:
        """Take the scheduler's steps one by one; see `Sampler.steps`."""
        scheduler = copy.deepcopy(self._scheduler)
        x_t, state = begin(denoiser, x_t, generator)
        total = len(self.levels) - 1
        for index, timestep in enumerate(scheduler.timesteps):
            now, after = self.levels[index : index + 2]
            step = Step(now, after, index, total, generator, evaluator or Local())
            with torch.no_grad():
                state = denoiser.adapt(state, x_t, step)
                prediction = predict(denoiser, x_t, now, state, step)
                options = {**self._options, "generator": generator}
                x_t = self._dialect.turn(scheduler, timestep, prediction, options)
                check_finite(x_t, "sample", step)
            yield Moment(step, x_t, prediction, state)
