"""Samplers: from noise to a picture, one step at a time.

A sampler walks down a tuple of levels and asks one denoiser; it never knows what a prompt is or
how the denoiser is composed. `steps` yields after every step, so that progress bars, callbacks,
traces and interruption are all a matter of the caller's own loop:

    for moment in sampler.steps(denoiser, x_t, generator=generator):
        preview(moment.prediction.x0)
"""

from compose_core.sampler.from_diffusers import FromDiffusers
from compose_core.sampler.heun import Heun
from compose_core.sampler.interface import Moment, Sampler
from compose_core.sampler.single import DDIM, Euler

__all__ = ["DDIM", "Euler", "FromDiffusers", "Heun", "Moment", "Sampler"]
