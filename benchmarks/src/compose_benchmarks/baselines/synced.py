"""Views that are pulled towards one of them before they are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_cgi.agreement import Crops
from compose_cgi.graph import Graph
from compose_core.codec import Codec
from compose_core.compose import Composer
from compose_core.denoiser import State, Step
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level
from compose_worlds.judge import JudgeNet

__all__ = ["Synced", "distance", "maps"]

_TINY = 1e-10


@final
class Synced(Composer):
    r"""Each view moved down the perceptual distance of what it predicts to that of an anchor.

    SyncDiffusion (Lee et al. 2023, arXiv 2306.05178, Algorithm 1) moves the noisy view,
    :math:`y \leftarrow y - w \beta^i \nabla_y d(D(x_0(y)), D(x_0(y_{anchor})))`, and then asks the
    network again. Here `x0` itself is moved, as if its noise had been predicted the same:
    nothing is asked twice, and no derivative is taken through the network, only through the
    decoder `D`. The distance is that of LPIPS over the way down of a small network, as nothing
    was calibrated with equal weights. The anchor is the view in the middle.

    Args:
        graph: One canvas under crops of one size.
        codec: Decodes.
        network: Gives the features; its weights need no gradients.
        strength: `w`.
        decay: `beta`, by step.
        until: Share of the steps in which views are pulled.
    """

    def __init__(
        self,
        graph: Graph,
        codec: Codec,
        network: JudgeNet,
        *,
        strength: float,
        decay: float,
        until: float = 1.0,
    ) -> None:
        super().__init__([each.denoiser for each in graph.observations])
        self.graph, self.codec = graph, codec
        self._network = [network]  # no part of this module: its weights are not ours
        self.strength, self.decay, self.until = strength, decay, until

    def inputs(self, x_t: Tensor) -> Sequence[Tensor]:
        """What every view shows."""
        return [view.observe(x_t) for view in self.graph.linear_views]

    def init_own(self, x_t: Tensor, generator: Generators | None) -> Any:
        """How views agree, and how strong the pull is."""
        agreement = Crops(self.graph.linear_views, self.graph.weights, x_t, gram=False)
        return agreement, self.strength

    def adapt_own(self, own: Any, states: Sequence[State], x_t: Tensor, step: Step) -> Any:
        """The pull of this step."""
        pulled = step.index < self.until * step.total - 1e-6
        return own[0], self.strength * self.decay**step.index if pulled else 0.0

    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: Any
    ) -> Prediction:
        """The average of what was moved."""
        agreement, factor = own
        said = [each.x0 for each in predictions]
        if factor:
            said = [x - factor * g for x, g in zip(said, self._slopes(said), strict=True)]
        return Prediction(x_t, level, agreement.merge(said, x_t))

    def _slopes(self, said: Sequence[Tensor]) -> list[Tensor]:
        """The derivative of each view's distance to the anchor; 0 for the anchor."""
        with torch.enable_grad():
            x = torch.cat([each.detach() for each in said]).requires_grad_()
            seen = maps(self._network[0], self.codec.decode(x).clamp(-1, 1))
            count, middle = len(said), len(said) // 2
            apart = [m.unflatten(0, (count, -1)) for m in seen]
            total = distance(apart, [m[middle : middle + 1].detach() for m in apart]).sum()
            (slope,) = torch.autograd.grad(total, x)
        return list(slope.unflatten(0, (count, -1)).unbind(0))


def maps(network: JudgeNet, pictures: Tensor) -> list[Tensor]:
    """Features of all levels, from full size down to an eighth."""
    x = network.stem(pictures)
    found = [x]
    for block in network.down:
        x = block(F.avg_pool2d(x, 2))
        found.append(x)
    return found


def distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """LPIPS with equal weights of features (..., C, h, w): see `compose_metrics.similarity`."""
    shares = [
        ((_unit(x) - _unit(y)) ** 2).sum(-3).mean((-2, -1)) for x, y in zip(a, b, strict=True)
    ]
    return torch.stack(torch.broadcast_tensors(*shares)).sum(0)


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(-3, keepdim=True) + _TINY).sqrt()
