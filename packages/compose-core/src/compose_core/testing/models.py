"""Networks that answer in microseconds, depend on all of their input, and count their calls."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, silu

from compose_core.denoiser import Bound, Network
from compose_core.encoded import Encoded
from compose_core.prediction import Prediction, translate
from compose_core.schedule import DiscreteVP, Level, Schedule


@final
class TinyNetwork(Network):
    """A random two-layer convolution, conditioned on the level and on `"text"` `(B, L, D)`.

    Every output depends on its neighbours, on the level and on every text token, and rows of the
    batch do not touch: what a real network does, without its cost. One or two spatial axes.

    Args:
        channels: Channels of `x_t`.
        width: Hidden channels, and `D` of the text.
        axes: Spatial axes, 1 or 2.
        schedule: The one it claims to be trained on; by default Stable Diffusion's.
        seed: Of the weights.
        dtype: Of the weights.

    Attributes:
        rows: The batch of each call so far, for tests that count calls.
    """

    def __init__(
        self,
        channels: int = 4,
        width: int = 8,
        axes: int = 2,
        schedule: Schedule | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.schedule = schedule if schedule is not None else stable_diffusion_schedule()
        self.axes = axes
        self.rows: list[int] = []
        g = torch.Generator().manual_seed(seed)

        def weights(*shape: int) -> nn.Parameter:
            scale = torch.Size(shape[1:]).numel() ** -0.5
            drawn = torch.randn(shape, generator=g, dtype=torch.float64) * scale
            return nn.Parameter(drawn.to(dtype))

        self.enter = weights(width, channels, *[3] * axes)
        self.leave = weights(channels, width, *[3] * axes)
        self.text = weights(width, width)
        self.time = weights(width, 2)

    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """Predict eps, in its own schedule."""
        self.rows.append(x_t.shape[0])
        x, own = translate(x_t, level, self.schedule)
        convolve = conv2d if self.axes == 2 else conv1d
        tail = (1,) * self.axes
        phase = own.log_snr.clamp(-20, 20).to(x).reshape(-1, 1) / 5
        bias = torch.cat([phase.sin(), phase.cos()], 1) @ self.time.T
        if "text" in encoded:
            bias = bias + torch.tanh(encoded["text"].to(x) @ self.text.T).mean(1)
        hidden = silu(convolve(x, self.enter, padding=1) + bias.reshape(*bias.shape, *tail))
        eps = x + convolve(hidden, self.leave, padding=1)
        return Prediction.from_eps(x, own, eps).at(x_t, level)


@final
class GaussianNetwork(Network):
    """The exact network of `N(mean, var)` data, its mean the condition `"mean"`.

    Args:
        var: The variance of each element.
        schedule: The one it claims to be trained on.

    Attributes:
        rows: The batch of each call so far.
    """

    def __init__(self, var: float = 0.25, schedule: Schedule | None = None) -> None:
        super().__init__()
        self.schedule = schedule if schedule is not None else stable_diffusion_schedule()
        self.var = var
        self.rows: list[int] = []

    def forward(self, x_t: Tensor, level: Level, encoded: Encoded) -> Prediction:
        """The posterior mean."""
        self.rows.append(x_t.shape[0])
        alpha, sigma = level.to_like(x_t)
        mean = encoded["mean"].to(x_t)
        mean = mean.reshape(*mean.shape, *[1] * (x_t.dim() - mean.dim()))
        gain = alpha * self.var / (alpha**2 * self.var + sigma**2)
        return Prediction(x_t, level, mean + gain * (x_t - alpha * mean))


def stable_diffusion_schedule() -> DiscreteVP:
    """The schedule of Stable Diffusion 1 and 2."""
    return DiscreteVP.from_config(
        {
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "num_train_timesteps": 1000,
        }
    )


def tiny_text(seed: int, batch: int = 1, tokens: int = 5, width: int = 8) -> Encoded:
    """A random text condition `(batch, tokens, width)` for `TinyNetwork`, in float64."""
    g = torch.Generator().manual_seed(seed)
    return Encoded(text=torch.randn(batch, tokens, width, generator=g, dtype=torch.float64))


def tiny_parts(count: int, network: Network | None = None) -> list[Bound]:
    """`count` denoisers of one tiny network, each under its own text."""
    shared = network if network is not None else TinyNetwork()
    return [Bound(shared, tiny_text(seed=i + 1)) for i in range(count)]
