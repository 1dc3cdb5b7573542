"""Losses against their closed forms."""

import pytest
import torch
from torch import Generator

from compose_core.train.losses import contrastive, kl_normal, min_snr_weight, weighted_mse


def test_kl_equals_the_divergence_of_torch():
    generator = Generator().manual_seed(0)
    mean = torch.randn(4, 5, generator=generator)
    log_var = torch.randn(4, 5, generator=generator)
    normal = torch.distributions.Normal(mean, (log_var / 2).exp())
    truth = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(kl_normal(mean, log_var), truth)


def test_min_snr_weights_the_same_x0_error_alike_in_every_target():
    generator = Generator().manual_seed(0)
    alpha = torch.linspace(0.05, 0.999, 50, dtype=torch.float64)
    sigma = (1 - alpha**2).sqrt()
    error = torch.randn(50, generator=generator, dtype=torch.float64)
    in_x0 = min_snr_weight(alpha, sigma, target="x0") * error**2
    # eps = (x_t - alpha x0) / sigma and v = (alpha x_t - x0) / sigma at a fixed x_t
    in_eps = min_snr_weight(alpha, sigma, target="eps") * (alpha / sigma * error) ** 2
    in_v = min_snr_weight(alpha, sigma, target="velocity") * (error / sigma) ** 2
    torch.testing.assert_close(in_eps, in_x0)
    torch.testing.assert_close(in_v, in_x0)
    assert min_snr_weight(alpha, sigma, target="x0").max() <= 5
    with pytest.raises(ValueError, match="target"):
        min_snr_weight(alpha, sigma, target="flow")


def test_weighted_mse_averages_per_sample():
    a, b = torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.zeros(2, 2)
    assert weighted_mse(a, b).item() == pytest.approx(2.5)
    assert weighted_mse(a, b, torch.tensor([0.0, 4.0])).item() == 0


def test_contrastive_is_zero_for_perfect_and_log_n_for_no_information():
    eye = torch.eye(8)
    loss, accuracy = contrastive(eye, eye, torch.tensor(1e3))
    assert loss.item() == pytest.approx(0) and accuracy == 1
    loss, _ = contrastive(torch.ones(8, 4), torch.ones(8, 4), torch.tensor(1.0))
    torch.testing.assert_close(loss, torch.tensor(8.0).log())
