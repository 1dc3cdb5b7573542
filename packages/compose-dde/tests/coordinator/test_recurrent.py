"""The recurrent coordinator in other dtypes than its parts."""

import pytest
import torch

from compose_core.schedule import KarrasVE
from compose_core.testing.laws import tolerance
from compose_dde.coordinator import Heard, Recurrent
from compose_dde.domain import Domain
from compose_dde.networks import SpectralTransformer, UNet1d

DOMAIN = Domain.chain(44, 16, 12)
BACKBONES = {
    "unet": lambda: UNet1d(6, 8, 2, (1, 2), (2,), (1,), (False,), 2, 4),
    "spectral": lambda: SpectralTransformer(6, 8, 16, 1, 2, together=True, quiet=False),
}


def made(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Recurrent(BACKBONES[kind](), 4)
        with torch.no_grad():
            for weight in net.parameters():
                weight.add_(0.1 * torch.randn(weight.shape))
            net.gate.fill_(1.0)
    return net


@torch.no_grad()
def say(net, x0, x_t):
    heard = Heard(x0=x0, x_t=x_t, level=KarrasVE().level(torch.tensor([0.7, 2.0]).double()))
    return net(heard, net.prepare(DOMAIN, x0))


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("weights", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("parts", [torch.float16, torch.float32, torch.float64])
def test_the_backbone_may_have_a_dtype_of_its_own(kind, weights, parts, draw):
    net = made(kind).to(weights)
    x0, x_t = (draw(2, len(DOMAIN), 2, 16, seed=seed).to(parts) for seed in (0, 1))
    found = say(net, x0, x_t)
    expected = say(net.double(), x0.double(), x_t.double())
    assert found.dtype == parts
    assert not torch.allclose(expected, x0.double(), atol=0.1), "it says something"
    bound = 4 * max(tolerance(weights), tolerance(parts))
    torch.testing.assert_close(found.double(), expected, rtol=bound, atol=bound)


@pytest.mark.parametrize("kind", BACKBONES)
def test_nothing_is_said_before_training_and_everything_can_be_learnt(kind, draw):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Recurrent(BACKBONES[kind](), 4)
    x0, x_t, wanted = (draw(2, len(DOMAIN), 2, 16, seed=seed) for seed in (0, 1, 2))
    assert torch.equal(say(net, x0, x_t), x0)
    heard = Heard(x0=x0, x_t=x_t, level=KarrasVE().level(0.7))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (net(heard, net.prepare(DOMAIN, x0)) - wanted).square().mean().backward()
        optimizer.step()
    # First the gate opens, then it lets the gradient through to those behind it.
    assert all(weight.grad.abs().max() > 0 for weight in net.parameters())
