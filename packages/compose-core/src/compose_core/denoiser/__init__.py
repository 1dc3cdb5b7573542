"""Denoisers: what samplers see, from one network under one condition to any composition.

`Network` predicts under a condition; `Denoiser` has its condition bound. `Bound` makes the one
from the other, `Guided` is classifier-free guidance, `Clipped` keeps to a range, `Switched` is one
denoiser first and another later, `Gaussian` and `Mixture` are exact oracles without a network, for
tests and teaching.
Composers are in `compose_core.compose`.
"""

from compose_core.denoiser.adaptation import Adaptation, Asked, Request, alone, together
from compose_core.denoiser.bound import Bound
from compose_core.denoiser.clipped import Clipped
from compose_core.denoiser.gaussian import Gaussian, Mixture
from compose_core.denoiser.guided import Guided
from compose_core.denoiser.interface import Denoiser, Network, State, Step
from compose_core.denoiser.switched import Switched
from compose_core.evaluate import Answers, Query, Questions

__all__ = [
    "Adaptation",
    "Answers",
    "Asked",
    "Bound",
    "Clipped",
    "Denoiser",
    "Gaussian",
    "Guided",
    "Mixture",
    "Network",
    "Query",
    "Questions",
    "Request",
    "State",
    "Step",
    "Switched",
    "alone",
    "together",
]
