"""The average equals its closed form."""

import pytest
import torch
from torch import nn

from compose_core.train.ema import EMA


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_closed_form(decay):
    net = nn.Linear(3, 2).double()
    values = [net.weight.detach().clone()]
    ema = EMA({"net": net}, decay)
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        with torch.no_grad():
            net.weight.add_(torch.randn(2, 3, generator=generator, dtype=torch.float64))
        values.append(net.weight.detach().clone())
        ema.update({"net": net})

    # sum over k of (1 - d_k) * prod_{j > k} d_j * w_k, with weight 1 instead of 1 - d for w_0
    decays = [min(decay, (1 + n) / (10 + n)) for n in range(40)]
    shares = [1.0] + [1 - d for d in decays]
    for k in range(41):
        for j in range(k, 40):
            shares[k] *= decays[j]
    assert sum(shares) == pytest.approx(1)
    expected = sum(share * value for share, value in zip(shares, values, strict=True))
    torch.testing.assert_close(ema.modules["net"].weight.data, expected, rtol=0, atol=1e-12)


def test_buffers_follow_and_the_average_is_separate():
    net = nn.BatchNorm1d(3)
    ema = EMA({"net": net}, 0.9)
    net.running_mean.fill_(7)
    ema.update({"net": net})
    average = ema.modules["net"]
    assert torch.equal(average.running_mean, net.running_mean)
    assert not average.training and net.training
    assert not any(p.requires_grad for p in average.parameters())
    assert all(p.requires_grad for p in net.parameters())
