"""Core's sampler against a hand-written DDIM loop: same UNet, steps, guidance and noise, batch 1.

Bar: at most 3 % more time. Both end at the same latents, which is checked.
"""

from __future__ import annotations

from typing import Any

import measure
import torch
from subject import Subject, subject
from torch import Tensor

from compose_core import DDIM, Bound, Guided

GUIDANCE = 4.0


def main() -> None:
    """Time whole trajectories in turns."""
    torch.set_num_threads(1)
    options = measure.arguments(__doc__, rounds=9, steps=20)
    model, x_t = subject(), torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    runs = {
        "core": lambda: with_core(model, x_t, options.steps),
        "by_hand": lambda: by_hand(model, x_t, options.steps),
    }
    if measure.peak_asked(options, runs):
        return
    held = measure.peaks(runs)
    torch.testing.assert_close(runs["core"](), runs["by_hand"](), rtol=1e-3, atol=1e-3)
    seconds = measure.in_turns(runs, options.rounds)
    row = {
        "model": model.name,
        "steps": options.steps,
        "seconds": measure.medians(seconds),
        "peak_megabytes": held,
        "core_over_by_hand": measure.ratio(seconds, "core", "by_hand"),
        "bar": 1.03,
    }
    measure.write("overhead", row, options.out)


@torch.no_grad()
def with_core(model: Subject, x_t: Tensor, steps: int) -> Tensor:
    """Guidance as a denoiser of two denoisers, sampled by `DDIM`."""
    cond, uncond = (Bound(model.network, encoded) for encoded in (model.prompt, model.empty))
    sampler = DDIM(model.schedule.levels(steps))
    return sampler.sample(Guided(cond, uncond, GUIDANCE), x_t)


@torch.no_grad()
def by_hand(model: Subject, x_t: Tensor, steps: int) -> Tensor:
    """Write out what anybody would: two inputs in one batch, one formula per step."""
    unet: Any = model.unet
    text = torch.cat([model.prompt["text"], model.empty["text"]])
    levels = model.schedule.levels(steps)
    for now, following in zip(levels[:-1], levels[1:], strict=True):
        alpha, sigma = float(now.alpha), float(now.sigma)
        out = unet(torch.cat([x_t, x_t]), now.t, encoder_hidden_states=text).sample
        eps = model.eps(torch.cat([x_t, x_t]), out, alpha, sigma)
        eps_cond, eps_uncond = eps.chunk(2)
        eps = eps_uncond + GUIDANCE * (eps_cond - eps_uncond)
        x0 = (x_t - sigma * eps) / alpha
        x_t = float(following.alpha) * x0 + float(following.sigma) * eps
    return x_t


if __name__ == "__main__":
    main()
