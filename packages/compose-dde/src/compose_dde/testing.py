"""Small networks for tests of whatever builds on this package."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from compose_core.denoiser import Network
from compose_core.encoded import Encoded
from compose_core.prediction import Prediction
from compose_core.schedule import KarrasVE, Level
from compose_dde.coordinator import CoordinatorConfig, Transformer
from compose_dde.precondition import Precondition

__all__ = ["Counted", "spoken"]


@final
class Counted(Network):
    """A base model without weights that counts the rows of every call.

    What it says depends on the whole of a part, on the noise level and on each condition.

    Attributes:
        rows: Rows of each call so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.schedule = KarrasVE()
        self.rows: list[int] = []

    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """See `Network`."""
        self.rows.append(x_t.shape[0])
        output = (0.3 * x_t).tanh() + 0.1 * x_t.roll(1, -1).sin()
        output = output + 0.05 * x_t.flatten(1).tanh().mean(1).reshape(-1, *[1] * (x_t.dim() - 1))
        for value in encoded.values():
            told = value.to(x_t).flatten(1).mean(1).sin()
            output = output + told.reshape(-1, *[1] * (x_t.dim() - 1))
        return Prediction(x_t, level, Precondition().wrap(output, x_t, level))


def spoken(config: CoordinatorConfig, seed: int = 0) -> Transformer:
    """A coordinator with random weights everywhere, so that it says something."""
    net = Transformer(config).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return net
