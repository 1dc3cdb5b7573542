"""Rules that RealCompo is compared with, over the same branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.denoiser import Denoiser, Guided, State, Step
from compose_core.errors import UsageError
from compose_core.evaluate import Answers, Questions
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level
from compose_realcompo.balancer import Branch

__all__ = ["SaliencyBlend", "saliency"]


def saliency(cond: Prediction, uncond: Prediction, sharpness: float, blur: float) -> Tensor:
    """Where guidance moves a prediction: (B, 1, h, w), summing to 1 over the picture.

    MagicFusion (Zhao et al. 2023, arXiv 2303.13126), Eq. 3 to 5: the absolute difference of both
    noise predictions, averaged over channels, smoothed, and a softmax over the pixels.
    """
    moved = (cond.eps - uncond.eps).abs().mean(1, keepdim=True)
    radius = max(1, round(2 * blur))
    at = torch.arange(-radius, radius + 1, device=moved.device, dtype=moved.dtype)
    kernel = torch.exp(-0.5 * (at / blur) ** 2)
    kernel = kernel / kernel.sum()
    for axis in (2, 3):
        shape = [1, 1, 1, 1]
        shape[axis] = len(kernel)
        pad = (0, 0, radius, radius) if axis == 2 else (radius, radius, 0, 0)
        moved = F.conv2d(F.pad(moved, pad, mode="replicate"), kernel.reshape(shape))
    return (sharpness * moved).flatten(1).softmax(1).reshape(moved.shape)


@final
class SaliencyBlend(Denoiser):
    """In each pixel the branch whose saliency is greatest.

    Args:
        branches: All under guidance; the last one is alone before `start`.
        start: Share of the steps.
        sharpness: The factor inside the softmax.
        blur: Of the saliency, in latent cells.

    Raises:
        UsageError: A branch has no unconditional side.
    """

    def __init__(
        self,
        branches: Sequence[Branch],
        *,
        start: float = 0.0,
        sharpness: float = 10.0,
        blur: float = 1.0,
    ) -> None:
        super().__init__()
        self.guided = torch.nn.ModuleList([branch.denoiser for branch in branches])
        if not all(isinstance(part, Guided) and part.scale != 1 for part in self.guided):
            raise UsageError(
                "saliency is what guidance moves",
                got="a branch without guidance",
                remedy="choose a guidance scale other than 1",
            )
        self.start, self.sharpness, self.blur = start, sharpness, blur

    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """Whether the last branch is alone, and the states of all."""
        return False, tuple(part.init(x_t, generator) for part in self._parts)

    def adapt(self, state: State, x_t: Tensor, step: Step) -> State:
        """The branches adapt."""
        _, states = state
        alone = step.index < self.start * step.total - 1e-6
        pairs = zip(self._parts, states, strict=True)
        return alone, tuple(part.adapt(own, x_t, step) for part, own in pairs)

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """What all ask, or the last alone."""
        alone, states = state
        asked = [p.queries(x_t, level, own) for p, own in zip(self._parts, states, strict=True)]
        return (*(() for _ in asked[:-1]), asked[-1]) if alone else tuple(asked)

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """In each pixel, the guided prediction of whoever is most salient there."""
        alone, states = state
        heard = cast("tuple[Any, ...]", answers)
        if alone:
            return self._parts[-1].combine(heard[-1], x_t, level, states[-1])
        each = list(zip(self._parts, heard, states, strict=True))
        maps = torch.stack([saliency(a[0], a[1], self.sharpness, self.blur) for _, a, _ in each])
        x0 = torch.stack([part.combine(a, x_t, level, own).x0 for part, a, own in each])
        best = maps.argmax(0, keepdim=True).expand(1, *x0.shape[1:])
        return Prediction(x_t, level, x0.gather(0, best)[0])

    @property
    def _parts(self) -> tuple[Guided, ...]:
        return cast("tuple[Guided, ...]", tuple(self.guided))
