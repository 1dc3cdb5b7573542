"""Averaged weights: the networks that are exported."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn


class EMA:
    """Exponential moving average of trained networks, in their own precision.

    After update n (from 0) with decay ``d_n = min(decay, (1 + n) / (10 + n))``,

        ema <- d_n * ema + (1 - d_n) * weights,

    so that the average forgets the random start quickly and then settles to ``decay``. Buffers are
    copied. The averaged modules are in evaluation mode and take no gradients.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        """Start from a copy of ``modules``."""
        self.decay = decay
        self.updates = 0
        self.modules: dict[str, nn.Module] = {}
        for name, module in modules.items():
            self.modules[name] = deepcopy(module).eval().requires_grad_(False)

    def decay_at(self, update: int) -> float:
        """The decay d_n of update n."""
        return min(self.decay, (1 + update) / (10 + update))

    @torch.no_grad()
    def update(self, modules: Mapping[str, nn.Module]) -> None:
        """Move the averages towards ``modules`` once."""
        averages: list[Tensor] = []
        weights: list[Tensor] = []
        for name, module in modules.items():
            averages += list(self.modules[name].parameters())
            weights += [p.detach() for p in module.parameters()]
            for buffer, source in zip(self.modules[name].buffers(), module.buffers(), strict=True):
                buffer.copy_(source)
        torch._foreach_lerp_(averages, weights, 1 - self.decay_at(self.updates))  # type: ignore
        self.updates += 1
