"""The betas of discrete diffusion, by the names that diffusers configs give them.

They are float32, and so is everything computed from them before it is widened: the tables are then
equal, bit for bit, to the ones that pretrained networks saw in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from compose_core.errors import ScheduleError


def betas_from_config(config: Mapping[str, Any]) -> Tensor:
    """The betas `(T,)` that a diffusers scheduler config describes.

    Reads `trained_betas`, `beta_schedule`, `beta_start`, `beta_end`, `num_train_timesteps` and
    `rescale_betas_zero_snr`, with the defaults of diffusers' own schedulers.

    Raises:
        ScheduleError: The beta schedule is not known.
    """
    trained = config.get("trained_betas")
    if trained is not None:
        betas = torch.as_tensor(trained, dtype=torch.float32)
    else:
        name = str(config.get("beta_schedule", "linear"))
        if name not in _BETAS:
            raise ScheduleError("unknown beta schedule", got=name, expected=sorted(_BETAS))
        low, high = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
        betas = _BETAS[name](int(config.get("num_train_timesteps", 1000)), low, high)
    return zero_terminal_snr(betas) if config.get("rescale_betas_zero_snr") else betas


def zero_terminal_snr(betas: Tensor) -> Tensor:
    """Rescale betas so that the last level is pure noise.

    Algorithm 1 of Lin et al. 2024 (arXiv 2305.08891): shift `sqrt(alpha_bar)` so that it ends at
    zero, and scale it so that it begins where it began.
    """
    alpha = (1 - betas).cumprod(0).sqrt()
    first, last = alpha[0].clone(), alpha[-1].clone()
    alpha_bar = ((alpha - last) * (first / (first - last))) ** 2
    return 1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])


def _linear(steps: int, low: float, high: float) -> Tensor:
    return torch.linspace(low, high, steps, dtype=torch.float32)


def _scaled_linear(steps: int, low: float, high: float) -> Tensor:
    return torch.linspace(low**0.5, high**0.5, steps, dtype=torch.float32) ** 2


def _sigmoid(steps: int, low: float, high: float) -> Tensor:
    ramp = torch.linspace(-6, 6, steps, dtype=torch.float32)
    return torch.sigmoid(ramp) * (high - low) + low


def _from_alpha_bar(alpha_bar: Callable[[float], float]) -> Callable[[int, float, float], Tensor]:
    """Betas of a continuous `alpha_bar` on [0, 1], each at most 0.999 (Nichol & Dhariwal 2021)."""

    def betas(steps: int, low: float, high: float) -> Tensor:
        edges = [alpha_bar(i / steps) for i in range(steps + 1)]
        pairs = zip(edges[1:], edges[:-1], strict=True)
        return torch.tensor([min(1 - s / t, 0.999) for s, t in pairs], dtype=torch.float32)

    return betas


def _cosine(t: float) -> float:
    return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2


def _exponential(t: float) -> float:
    return math.exp(-12.0 * t)


def _laplace(t: float) -> float:
    # Hang et al. 2024 (arXiv 2407.03297), in the form that pretrained networks were given.
    spread = math.log(1 - 2 * abs(0.5 - t) + 1e-6)
    snr = math.exp(-0.5 * math.copysign(1, 0.5 - t) * spread)
    return math.sqrt(snr / (1 + snr))


_BETAS: dict[str, Callable[[int, float, float], Tensor]] = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "sigmoid": _sigmoid,
    "squaredcos_cap_v2": _from_alpha_bar(_cosine),
    "exp": _from_alpha_bar(_exponential),
    "laplace": _from_alpha_bar(_laplace),
}
