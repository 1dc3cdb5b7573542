"""The tiny networks do what tests rely on: they depend on everything, and rows do not touch."""

import torch

from compose_core.denoiser import Bound, Gaussian
from compose_core.encoded import Encoded
from compose_core.schedule import KarrasVE
from compose_core.testing.laws import assert_close, check_denoiser
from compose_core.testing.models import (
    GaussianNetwork,
    TinyNetwork,
    stable_diffusion_schedule,
    tiny_text,
)


def noise(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


def test_everything_matters():
    network, schedule = TinyNetwork(dtype=torch.float64), stable_diffusion_schedule()
    x_t, level, text = noise(1, 4, 6, 6), schedule.level(torch.tensor(400.0)), tiny_text(1)
    eps = network(x_t, level, text).eps
    moved = x_t.clone()
    moved[0, 0, 3, 3] += 1
    others = [
        network(moved, level, text).eps[0, 1, 2, 2] - eps[0, 1, 2, 2],
        (network(x_t, schedule.level(torch.tensor(410.0)), text).eps - eps).abs().max(),
        (network(x_t, level, tiny_text(2)).eps - eps).abs().max(),
        (network(x_t, level, Encoded()).eps - eps).abs().max(),
        (TinyNetwork(seed=1, dtype=torch.float64)(x_t, level, text).eps - eps).abs().max(),
    ]
    assert all(bool(other != 0) for other in others)


def test_the_same_seed_is_the_same_network():
    state = torch.get_rng_state()
    one, two = TinyNetwork(seed=3).state_dict(), TinyNetwork(seed=3).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(state, torch.get_rng_state())


def test_the_laws():
    level = stable_diffusion_schedule().level(torch.tensor(400.0))
    for axes, shape in ((1, (3, 4, 9)), (2, (3, 4, 5, 6))):
        network = TinyNetwork(axes=axes, dtype=torch.float64)
        check_denoiser(Bound(network, tiny_text(1)), noise(*shape), level)
    ve = TinyNetwork(schedule=KarrasVE(), dtype=torch.float64)
    check_denoiser(Bound(ve, tiny_text(1)), noise(2, 4, 5, 6), level)


def test_the_gaussian_network_is_the_oracle():
    mean, x_t = noise(1, 4), noise(2, 4, 5, 6)
    level = stable_diffusion_schedule().level(torch.tensor(400.0))
    network = GaussianNetwork(0.3)
    actual = Bound(network, Encoded(mean=mean))(x_t, level).x0
    assert_close(actual, Gaussian(mean[:, :, None, None], 0.3)(x_t, level).x0, "oracle")
    assert network.rows == [2]
