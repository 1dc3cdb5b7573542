"""Losses that several recipes share, as formulas."""

import torch
import torch.nn.functional as F
from torch import Tensor


def kl_normal(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, 1)) in nats, averaged over all elements of (B, ...).

    Source: Kingma and Welling, Auto-Encoding Variational Bayes (2014), appendix B.
    """
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).mean()


def min_snr_weight(
    alpha: Tensor, sigma: Tensor, *, gamma: float = 5.0, target: str = "eps"
) -> Tensor:
    """Min-SNR weights for a squared error in ``target``, shaped like ``alpha`` and ``sigma``.

    With snr = alpha^2 / sigma^2, an error in x0 is weighted by min(snr, gamma). The same weight is
    divided by snr for an error in eps and by snr + 1 for one in the velocity, because those errors
    are the x0 error scaled by alpha / sigma and by 1 / sigma (for alpha^2 + sigma^2 = 1).

    Source: Hang et al., Efficient Diffusion Training via Min-SNR Weighting (2023), equation 6.

    Raises:
        ValueError: the target is not ``x0``, ``eps`` or ``velocity``.
    """
    snr = (alpha / sigma.clamp_min(1e-12)).square()
    capped = snr.clamp_max(gamma)
    if target == "x0":
        return capped
    if target == "eps":
        return capped / snr.clamp_min(1e-12)
    if target == "velocity":
        return capped / (snr + 1)
    raise ValueError(f"target is x0, eps or velocity, not {target!r}")


def weighted_mse(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Squared error averaged in float32; ``weight`` (B,) multiplies each sample's mean."""
    errors = (prediction.float() - target.float()).square().flatten(1).mean(1)
    return errors.mean() if weight is None else (weight.to(errors) * errors).mean()


def contrastive(image: Tensor, text: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric InfoNCE of features (B, D), and the share of pictures that find their text.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision
    (2021), figure 3. ``scale`` is the inverse temperature.
    """
    logits = scale * F.normalize(image.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T
    truth = torch.arange(len(logits), device=logits.device)
    loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
    return loss, (logits.argmax(1) == truth).float().mean()
