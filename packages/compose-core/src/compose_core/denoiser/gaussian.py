"""Exact denoisers of Gaussian data: oracles without a network, for tests and teaching.

With data `x0 ~ N(mu, v)` and `x_t = alpha x0 + sigma eps`, the posterior mean is

    E[x0 | x_t] = mu + alpha v / (alpha^2 v + sigma^2) (x_t - alpha mu)

and for a mixture it is the mean of these over the components, each weighted by its posterior
probability, proportional to `w_k N(x_t; alpha mu_k, alpha^2 v_k + sigma^2)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from compose_core.denoiser.interface import Denoiser, State
from compose_core.errors import ShapeError
from compose_core.evaluate import Answers, Questions
from compose_core.prediction import Prediction
from compose_core.schedule import Level


@final
class Gaussian(Denoiser):
    """The exact denoiser of independent normal data; it asks nothing.

    Args:
        mean: `mu`, broadcastable to a sample or a batch of them.
        var: `v > 0`, the variance of each element, likewise.

    Raises:
        ShapeError: A variance is not positive.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, mean: Tensor | float, var: Tensor | float) -> None:
        super().__init__()
        self.register_buffer("mean", _exact(mean), persistent=False)
        self.register_buffer("var", _positive(_exact(var)), persistent=False)

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """Nothing."""
        return ()

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """The posterior mean."""
        alpha, sigma = level.to_like(x_t)
        mean, var = self.mean.to(x_t), self.var.to(x_t)
        return Prediction(x_t, level, _posterior(x_t, alpha, sigma, mean, var))


@final
class Mixture(Denoiser):
    """The exact denoiser of a mixture of `K` Gaussians; it asks nothing.

    Args:
        weights: `K` positive numbers, normalised here.
        means: `K` tensors, each broadcastable to a sample.
        variances: `K` variances `> 0`, likewise.

    Raises:
        ShapeError: The three have different lengths, or a weight or variance is not positive.
    """

    weights: Tensor

    def __init__(
        self,
        weights: Sequence[float],
        means: Sequence[Tensor | float],
        variances: Sequence[Tensor | float],
    ) -> None:
        super().__init__()
        if not len(weights) == len(means) == len(variances) > 0:
            raise ShapeError(
                "a mixture needs one weight, mean and variance for each component",
                got=f"{len(weights)} weights, {len(means)} means, {len(variances)} variances",
            )
        share = _positive(torch.as_tensor(weights, dtype=torch.float64))
        self.register_buffer("weights", share / share.sum(), persistent=False)
        self.components = torch.nn.ModuleList(map(Gaussian, means, variances))

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """Nothing."""
        return ()

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """The posterior mean over all components."""
        alpha, sigma = level.to_like(x_t)
        logits: list[Tensor] = []
        x0: list[Tensor] = []
        for weight, component in zip(self.weights, self.components, strict=True):
            assert isinstance(component, Gaussian)
            mean, var = component.mean.to(x_t), component.var.to(x_t)
            spread = (alpha**2 * var + sigma**2).to(x_t.dtype).expand_as(x_t)
            distance = (x_t - alpha * mean) ** 2 / spread + spread.log()
            logits.append(weight.log().to(x_t) - 0.5 * distance.flatten(1).sum(1))
            x0.append(_posterior(x_t, alpha, sigma, mean, var))
        share = torch.stack(logits).softmax(0)
        share = share.reshape(*share.shape, *[1] * (x_t.dim() - 1))
        return Prediction(x_t, level, (share * torch.stack(x0)).sum(0))


def _posterior(x_t: Tensor, alpha: Tensor, sigma: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    gain = alpha * var / (alpha**2 * var + sigma**2)
    return mean + gain * (x_t - alpha * mean)


def _exact(value: Tensor | float) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def _positive(value: Tensor) -> Tensor:
    if not bool((value > 0).all()):
        raise ShapeError("variances and weights must be positive", got=value)
    return value
