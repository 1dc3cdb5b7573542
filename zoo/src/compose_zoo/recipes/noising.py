"""What the denoising recipes share: dropped captions, noised latents and the loss on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from compose_core.train.losses import min_snr_weight, weighted_mse

SNR_CAP = 5.0


@dataclass(frozen=True)
class Noised:
    """A batch of latents on their way to noise.

    Attributes:
        x_t: noised latents (B, 4, h, w).
        t: times (B,), integers in [0, 1000).
        eps: the noise (B, 4, h, w).
        weight: min-SNR weights (B,) of squared errors of epsilon.
    """

    x_t: Tensor
    t: Tensor
    eps: Tensor
    weight: Tensor

    def loss(self, predicted: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The weighted squared error of a predicted epsilon, and the plain one for the log."""
        plain = weighted_mse(predicted.detach(), self.eps)
        return weighted_mse(predicted, self.eps, self.weight), {"mse": float(plain)}


def dropped(tokens: Tensor, empty: Tensor, share: float, generator: Generator) -> Tensor:
    """Tokens (B, length) with about a `share` of the rows replaced by `empty` (length,)."""
    rows = torch.rand(len(tokens), generator=generator, device=tokens.device) < share
    return torch.where(rows[:, None], empty.to(tokens.device), tokens)


def noised(x0: Tensor, alphas: Tensor, generator: Generator, early: float = 0.0) -> Noised:
    """Draw times and noise for latents (B, 4, h, w) under cumulative alphas (T,).

    Times are uniform, but for a share `early` of them, which follow t = T (1 - u^3): most of
    them at high noise, where the places of objects are decided (Mou et al., T2I-Adapter, 2023,
    section 3.4).
    """
    n, device = len(x0), x0.device
    if early:
        u = torch.rand(n, generator=generator, device=device)
        cubic = torch.rand(n, generator=generator, device=device) < early
        t = (len(alphas) * torch.where(cubic, 1 - u**3, u)).long().clamp_max(len(alphas) - 1)
    else:
        t = torch.randint(len(alphas), (n,), generator=generator, device=device)
    eps = torch.randn(x0.shape, generator=generator, device=device)
    alpha2 = alphas.to(device)[t]
    alpha, sigma = alpha2.sqrt(), (1 - alpha2).sqrt()
    x_t = alpha[:, None, None, None] * x0 + sigma[:, None, None, None] * eps
    return Noised(x_t, t, eps, min_snr_weight(alpha, sigma, gamma=SNR_CAP))
