"""How a diffusers scheduler speaks, read from its parts.

Schedulers differ in how they scale their sample and in what they want a network to say. Nothing
is looked up by class: a scheduler is put into a family by the attributes that it has, and then
rehearsed, so that a wrong guess is an error and never a wrong picture.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from compose_core.errors import ComposeError, ScheduleError
from compose_core.noise import normal
from compose_core.prediction import Prediction
from compose_core.schedule import Level


@final
@dataclass(frozen=True)
class Dialect:
    """How a scheduler speaks.

    Attributes:
        levels: The level of its sample at each of its timesteps, and of its result.
        say: Turns a prediction into the network output that it expects.
        scales: Whether it insists on `scale_model_input`.
    """

    levels: list[Level]
    say: Callable[[Prediction], Tensor]
    scales: bool

    def turn(
        self, scheduler: Any, timestep: Tensor, prediction: Prediction, options: dict[str, Any]
    ) -> Tensor:
        """The sample after one step of `scheduler`."""
        if self.scales:  # schedulers check that it was called; our networks scale for themselves
            scheduler.scale_model_input(prediction.x_t, timestep)
        if "generator" not in inspect.signature(scheduler.step).parameters:
            options = {name: value for name, value in options.items() if name != "generator"}
        output = self.say(prediction)
        return scheduler.step(output, timestep, prediction.x_t, return_dict=False, **options)[0]


@contextmanager
def explained(scheduler: Any) -> Generator[None]:
    """Turn whatever a foreign object raises into one clear message.

    Raises:
        ScheduleError: In the place of any other exception.
    """
    try:
        yield
    except ComposeError:
        raise
    except Exception as error:
        raise ScheduleError(
            f"{type(scheduler).__name__} cannot be walked like this",
            got=f"{type(error).__name__}: {error}",
            remedy="see the message of the scheduler, or use DDIM, Euler or Heun",
        ) from error


def timed(scheduler: Any, steps: int | None, timing: Mapping[str, Any]) -> Any:
    """A copy of the scheduler, about to begin."""
    scheduler = copy.deepcopy(scheduler)
    scheduler.set_timesteps(steps, **timing)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # else it searches, and stumbles over equal times
    return scheduler


def rehearse(
    scheduler: Any, steps: int | None, timing: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    """Walk to a known point on a tiny canvas, to see that the scheduler was understood.

    If the data are one point, every prediction is that point, and a sample at any level is that
    point under the noise of that level. A scheduler that was misread, or that walks away from the
    data, is soon far from there. The bounds are wide: some schedulers take rough steps, and what a
    stochastic step adds may be as much as the noise that it came from (DDPM's larger variance,
    the churn of Euler).

    Raises:
        ScheduleError: It went astray.
    """
    point = 0.5
    walker = timed(scheduler, steps, timing)
    dialect = understand(walker)
    generator = torch.Generator().manual_seed(0)
    x_t = normal((2, 3, 4, 4), generator) * dialect.levels[0].sigma
    for index, timestep in enumerate(walker.timesteps):
        level, after = dialect.levels[index : index + 2]
        prediction = Prediction(x_t, level, torch.full_like(x_t, point))
        undrawn = generator.get_state()
        x_t = dialect.turn(walker, timestep, prediction, {**options, "generator": generator})
        added = 0.0 if torch.equal(generator.get_state(), undrawn) else float(level.sigma)
        miss = float((x_t - after.alpha * point).square().mean().sqrt())
        if not miss <= 0.3 + 2 * float(after.sigma) + added:
            raise ScheduleError(
                f"{type(scheduler).__name__} does not go where its predictions point",
                got=f"{miss:.3g} off after step {index + 1} of {len(walker.timesteps)}",
                expected="a scheduler that walks from noise to data, with these options",
                remedy="use other steps or options, or DDIM, Euler or Heun of "
                "compose_core.sampler",
            )


def understand(scheduler: Any) -> Dialect:
    """Find the family of a scheduler whose timesteps are set."""
    config: Mapping[str, Any] = scheduler.config
    _refuse_hidden_traits(scheduler, config)
    times = [float(t) for t in scheduler.timesteps]
    scales = hasattr(scheduler, "scale_model_input")
    has_bars, has_sigmas = hasattr(scheduler, "alphas_cumprod"), hasattr(scheduler, "sigmas")
    say = _language(config)
    if has_sigmas and hasattr(scheduler, "precondition_outputs"):
        return Dialect(_walk(_sigmas(scheduler), times, _exploding), _raw(scheduler), scales)
    if has_sigmas and (config.get("use_flow_sigmas") or hasattr(scheduler, "scale_noise")):
        return Dialect(_walk(_sigmas(scheduler), times, _flow), say or _flow_of, scales)
    if has_sigmas and has_bars and say:
        kind = _exploding if _scales_its_input(scheduler) else _preserving
        return Dialect(_walk(_sigmas(scheduler), times, kind), say, scales)
    if has_bars and say:
        return Dialect(_walk_bars(scheduler, times), say, scales)
    if not has_bars and not has_sigmas and hasattr(scheduler, "alphas"):  # IPNDM: sin and cos
        pairs = zip(scheduler.alphas.tolist(), scheduler.betas.tolist(), strict=True)
        levels = [Level.of(a, b, t) for (a, b), t in zip(pairs, [*times, 0.0], strict=True)]
        return Dialect(levels, _velocity_of, scales)
    raise ScheduleError(
        "this scheduler is of no family that is understood",
        got=type(scheduler).__name__,
        expected="a scheduler with alphas_cumprod or sigmas, and a prediction_type",
        remedy="use DDIM, Euler or Heun of compose_core.sampler",
    )


def _refuse_hidden_traits(scheduler: Any, config: Mapping[str, Any]) -> None:
    if str(config.get("variance_type", "")).startswith("learned"):
        raise ScheduleError(
            "learned variances are not predicted here",
            got=config["variance_type"],
            expected="a fixed variance_type",
            remedy='rebuild the scheduler with variance_type="fixed_small"',
        )
    if hasattr(scheduler, "noise_sampler_seed") and scheduler.noise_sampler_seed is None:
        raise ScheduleError(
            "this scheduler would draw noise from a hidden generator",
            got="noise_sampler_seed = None",
            expected="a number",
            remedy="rebuild the scheduler with noise_sampler_seed=0",
        )


def _language(config: Mapping[str, Any]) -> Callable[[Prediction], Tensor] | None:
    """What the scheduler calls a prediction; v and flow are the same in all its scalings."""
    words: dict[str, Callable[[Prediction], Tensor]] = {
        "epsilon": lambda p: p.eps,
        "sample": lambda p: p.x0,
        "original_sample": lambda p: p.x0,
        "v_prediction": _velocity_of,
        "flow_prediction": _flow_of,
    }
    return words.get(str(config.get("prediction_type")))


def _velocity_of(prediction: Prediction) -> Tensor:
    return prediction.velocity


def _flow_of(prediction: Prediction) -> Tensor:
    return prediction.flow


def _raw(scheduler: Any) -> Callable[[Prediction], Tensor]:
    """The raw output F of an EDM network, from `x0 = c_skip x + c_out F` (eq. 7)."""

    def say(prediction: Prediction) -> Tensor:
        sigma = prediction.level.sigma
        one, nothing = torch.ones_like(sigma), torch.zeros_like(sigma)
        c_skip = scheduler.precondition_outputs(one, nothing, sigma)
        c_out = scheduler.precondition_outputs(nothing, one, sigma)
        return (prediction.x0 - c_skip * prediction.x_t) / c_out

    return say


def _exploding(sigma: float, t: float) -> Level:
    return Level.of(1.0, sigma, t)


def _preserving(ratio: float, t: float) -> Level:
    alpha = (1 + ratio**2) ** -0.5
    return Level.of(alpha, ratio * alpha, t)


def _flow(sigma: float, t: float) -> Level:
    return Level.of(1 - sigma, sigma, t)


def _scales_its_input(scheduler: Any) -> bool:
    """Whether `x_t = x0 + sigma eps` (scaled down for the network) or `alpha x0 + sigma eps`."""
    one = torch.ones(1, dtype=torch.float64)
    scaled = copy.deepcopy(scheduler).scale_model_input(one, scheduler.timesteps[0])
    return not torch.equal(scaled, one)


def _sigmas(scheduler: Any) -> list[float]:
    """The noise level at each timestep and at the end."""
    count = len(scheduler.timesteps)
    sigmas: list[float] = scheduler.sigmas.tolist()[: count + 1]
    if hasattr(scheduler, "sigmas_interpol"):  # KDPM2: every second evaluation is between two
        shift = 1 if hasattr(scheduler, "sigmas_down") else 0  # the ancestral one counts from 0
        between: list[float] = scheduler.sigmas_interpol.tolist()
        sigmas[1:count:2] = between[1 - shift : count - shift : 2]
    elif hasattr(scheduler, "mid_point_sigma"):  # DPM-Solver SDE: likewise, geometric mean
        sigmas[1:count:2] = [(sigmas[k - 1] * sigmas[k]) ** 0.5 for k in range(1, count, 2)]
    return sigmas


def _walk(
    sigmas: list[float], times: list[float], kind: Callable[[float, float], Level]
) -> list[Level]:
    return [kind(sigma, t) for sigma, t in zip(sigmas, [*times, 0.0], strict=True)]


def _walk_bars(scheduler: Any, times: list[float]) -> list[Level]:
    bars = scheduler.alphas_cumprod.double()
    final = float(getattr(scheduler, "final_alpha_cumprod", 1.0))
    visited = [(float(bars[int(t)]), t) for t in times]
    return [Level.of(bar**0.5, (1 - bar) ** 0.5, t) for bar, t in [*visited, (final, 0.0)]]
