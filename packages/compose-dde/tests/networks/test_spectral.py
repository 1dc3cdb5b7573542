"""The transformer over frames of frequencies."""

import math

import pytest
import torch

from compose_core.denoiser import Bound
from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError
from compose_core.schedule import KarrasVE
from compose_core.testing.laws import tolerance
from compose_dde.composer import DDE
from compose_dde.coordinator import Recurrent
from compose_dde.domain import Domain, span
from compose_dde.lapped import lapped, unlapped
from compose_dde.networks import EDMNetwork, SpectralTransformer
from compose_dde.networks.spectral import filtered, standing_out

SMALL = {"channels_in": 2, "block": 8, "width": 16, "depth": 2, "heads": 2}
KINDS = {
    "of a stem": SMALL,
    "of all stems": {**SMALL, "together": True, "neighbours": 0, "gated": False},
}


def made(seed=0, **settings):
    """One that says something."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = SpectralTransformer(**settings)
        with torch.no_grad():
            for weight in net.parameters():
                weight.add_(0.1 * torch.randn(weight.shape))
    return net.double()


def sounds(batch=2, frames=6, seed=1):
    dice = torch.Generator().manual_seed(seed)
    return torch.randn((batch, 2, 8 * frames), generator=dice, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_a_batch_are_apart_and_settings_make_it_again(kind):
    net = made(**KINDS[kind])
    x, noise = sounds(), torch.tensor([0.3, -1.0], dtype=torch.float64)
    said = net(x, noise, Encoded())
    assert said.shape == x.shape
    again = SpectralTransformer(**net.settings).double()
    again.load_state_dict(net.state_dict())
    for i in range(2):
        alone = again(x[i : i + 1], noise[i : i + 1], Encoded())[0]
        torch.testing.assert_close(alone, said[i])


@pytest.mark.parametrize("kind", KINDS)
def test_before_training_it_says_nothing(kind):
    with torch.random.fork_rng():
        net = SpectralTransformer(**KINDS[kind]).double()
    assert not net(sounds(), torch.zeros(2, dtype=torch.float64), Encoded()).any()


def telling(own, z):
    """A gated one that says nothing but these, by the biases of `o` and `z`."""
    with torch.random.fork_rng():
        net = SpectralTransformer(**SMALL, sigma_data=0.5).double()
    with torch.no_grad():
        net.head.bias.copy_(torch.cat([torch.as_tensor(one).expand(8) for one in (own, z)]))
    return net


@pytest.mark.parametrize("sigma", [1e-4, 0.03, 0.5, 80.0])
def test_with_variances_it_is_the_filter_of_wiener(sigma):
    """`D = v / (v + sigma^2) x + c_out o` for each frequency, at any level."""
    z, own = torch.linspace(-3, 3, 8, dtype=torch.float64), torch.linspace(0, 1, 8).double()
    x_t = sigma * sounds()
    with torch.no_grad():
        found = EDMNetwork(telling(own, z), 0.5)(x_t, KarrasVE().level(sigma), Encoded()).x0
    v = 0.25 * (4 * z).exp()
    out = sigma * 0.5 / (sigma**2 + 0.25) ** 0.5
    expected = unlapped(v / (v + sigma**2) * lapped(x_t, 8) + out * own)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sigma", [1e-3, 0.03])
def test_it_leaves_a_tone_and_silences_what_is_beside_it(sigma):
    """With the variances of a tone in silence, what is left of the noise is that in the tone."""
    z = torch.full((8,), -30.0, dtype=torch.float64)
    z[5] = 8.0
    frames = torch.zeros(1, 2, 40, 8, dtype=torch.float64)
    frames[:, 0, :, 5] = 1.0
    tone = unlapped(frames)
    noise = torch.randn(tone.shape, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        net = EDMNetwork(telling(0.0, z), 0.5)
        left = (net(tone + sigma * noise, KarrasVE().level(sigma), Encoded()).x0 - tone) / sigma
    heard = lapped(left, 8)
    torch.testing.assert_close(heard[..., 5], lapped(noise, 8)[..., 5], rtol=0.02, atol=0.1)
    assert float(heard[..., [0, 1, 2, 3, 4, 6, 7]].abs().max()) < 1e-3


def test_a_tone_stands_out_alike_whatever_its_phase():
    """Of half-integer bins the pseudo-spectrum at the two next to it hardly changes."""
    time = torch.arange(16 * 64, dtype=torch.float64)
    found = []
    for phase in torch.arange(8) * math.pi / 8:
        tone = torch.cos(math.pi / 64 * 20.5 * time + phase)
        found.append(standing_out(lapped(tone, 64), torch.tensor(1e-3))[4:-4, 19:22].amax(1))
    both = torch.stack(found)
    assert float(both.std() / both.mean()) < 0.05
    assert float(both.mean()) > 2
    silent = standing_out(torch.zeros(3, 8), torch.tensor(0.0))
    assert torch.equal(silent, torch.zeros(3, 8))


def test_no_variance_breaks_the_filter():
    """At z = 0 nothing is added to EDM's skip; nothing is lost to rounding near either end."""
    z = torch.tensor([-1e4, -30.0, 0.0, 30.0, 1e4])
    for ratio in (-9.0, 0.0, 6.0):
        found, exact = (filtered(one, torch.tensor(ratio).to(one)) for one in (z, z.double()))
        assert float(found[2]) == 0
        assert bool(found.isfinite().all())
        torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [1e-4, 2e-4, 0.03, 1.0, 52.0, 80.0])
def test_in_half_precision_it_says_the_same_at_every_level(kind, sigma, dtype):
    """The oracle has the same rounded weights, and hears the same rounded sounds, in float64."""
    half = made(**KINDS[kind]).to(dtype)
    frames = torch.zeros(2, 2, 6, 8, dtype=torch.float64)
    frames[:, :, :, 5] = 1.0
    tone = unlapped(frames)
    x = ((tone + sigma * sounds()) / (sigma**2 + 0.2**2) ** 0.5).to(dtype)
    noise = torch.full((2,), math.log(sigma) / 4).to(dtype)
    with torch.no_grad():
        found = half(x, noise, Encoded())
        expected = half.double()(x.double(), noise.double(), Encoded())
        x_t = (tone + sigma * sounds()).to(dtype)
        x0 = EDMNetwork(half.to(dtype), 0.2)(x_t, KarrasVE().level(sigma), Encoded()).x0
    assert found.dtype == x0.dtype == dtype
    assert bool(x0.isfinite().all())
    bound = 4 * tolerance(dtype) * float(expected.abs().max())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=bound)


def test_tokens_hear_all_frames_and_stems():
    net = made(**SMALL)
    x = sounds(batch=1).requires_grad_()
    net(x, torch.zeros(1, dtype=torch.float64), Encoded())[0, 0, 0].backward()
    assert bool((x.grad[0].abs().amax(1) > 0).all())
    assert bool((x.grad[0].unflatten(1, (-1, 8)).abs().amax(2) > 0).all())


def test_longer_sounds_are_heard_by_the_same_network():
    net = made(**SMALL)
    assert net(sounds(frames=11), torch.zeros(2, dtype=torch.float64), Encoded()).shape[2] == 88
    with pytest.raises(ShapeError, match="does not fit the network"):
        net(torch.zeros(1, 2, 12), torch.zeros(1), Encoded())


def test_heads_fit_the_width():
    with pytest.raises(UsageError, match="heads do not fit"):
        SpectralTransformer(**{**SMALL, "heads": 16})


def test_it_goes_from_window_to_window_as_a_recurrent_one():
    base = EDMNetwork(made(**SMALL), 0.5)
    memory = {**KINDS["of all stems"], "channels_in": 5}
    one = Recurrent(made(1, **memory), 3, 0.5)
    domain = Domain.chain(span(3, 32, 24), 32, 24)
    composed = DDE(Bound(base), domain, one.double())
    x = torch.randn(1, 2, *domain.size, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        one.gate.fill_(0.0)
        plain = composed(x, KarrasVE().level(0.5)).x0
        one.gate.fill_(1.0)
        told = composed(x, KarrasVE().level(0.5)).x0
    torch.testing.assert_close(plain, DDE(Bound(base), domain, None)(x, KarrasVE().level(0.5)).x0)
    assert not torch.allclose(plain, told)
