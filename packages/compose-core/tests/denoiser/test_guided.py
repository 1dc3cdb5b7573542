"""Classifier-free guidance in the convention of diffusers."""

import pytest
import torch

from compose_core.denoiser import Bound, Denoiser, Gaussian, Guided, Step
from compose_core.errors import UsageError
from compose_core.schedule import DiscreteVP
from compose_core.testing.laws import (
    assert_close,
    check_denoiser,
    check_gaussian,
    check_identical_parts,
    check_one_hot,
)
from compose_core.testing.models import (
    TinyNetwork,
    stable_diffusion_schedule,
    tiny_parts,
    tiny_text,
)


def noise(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


def level(t=400.0):
    return stable_diffusion_schedule().level(torch.tensor(t))


def pair():
    return tiny_parts(2, TinyNetwork(dtype=torch.float64))


@pytest.mark.parametrize("space", ["x0", "eps", "velocity"])
def test_the_formula_holds_in_every_space(space):
    cond, uncond = pair()
    x_t = noise(2, 4, 6, 6)
    c, u = (getattr(part(x_t, level()), space) for part in (cond, uncond))
    guided = getattr(Guided(cond, uncond, 7.5)(x_t, level()), space)
    assert_close(guided, u + 7.5 * (c - u), "u + s (c - u)")


def test_the_laws():
    cond, uncond = pair()
    x_t = noise(3, 4, 6, 6)
    check_denoiser(Guided(cond, uncond, 7.5), x_t, level())
    check_denoiser(Guided(cond, uncond, 7.5, rescale=0.7, space="eps"), x_t, level())
    check_identical_parts(lambda parts: Guided(*parts, 7.5), cond, x_t, level(), counts=(2,))
    check_one_hot(lambda i: Guided(cond, uncond, 1.0 - i), [cond, uncond], x_t, level())
    levels = [level(t) for t in (1.0, 500.0, 998.0)]
    gaussians = Guided(Gaussian(0.8, 0.3), Gaussian(-0.1, 0.3), 3.0)
    check_gaussian(gaussians, -0.1 + 3 * 0.9, 0.3, levels, x_t)


def test_a_scale_of_one_does_not_ask_the_unconditional_side():
    network = TinyNetwork()
    cond, uncond = tiny_parts(2, network)
    x_t = noise(1, 4, 6, 6).float()
    plain = Guided(cond, uncond, 1.0)(x_t, level())
    assert network.rows == [1]
    assert torch.equal(plain.x0, cond(x_t, level()).x0)


def test_a_scale_per_sample():
    cond, uncond = pair()
    x_t, scales = noise(3, 4, 6, 6), torch.tensor([1.0, 2.0, 7.5])
    together = Guided(cond, uncond, scales)(x_t, level()).x0
    for i, scale in enumerate(scales.tolist()):
        alone = Guided(cond, uncond, scale)(x_t[i : i + 1], level()).x0
        assert_close(together[i : i + 1], alone, "its own scale")


@pytest.mark.parametrize("space", ["x0", "eps", "velocity"])
def test_full_rescaling_restores_the_deviation_of_the_conditional_side(space):
    cond, uncond = pair()
    x_t = noise(2, 4, 6, 6)
    guided = Guided(cond, uncond, 9.0, rescale=1.0, space=space)(x_t, level())
    deviation = getattr(guided, space).flatten(1).std(1)
    assert_close(deviation, getattr(cond(x_t, level()), space).flatten(1).std(1), "Lin et al.")


def test_partial_rescaling_is_the_mixture_of_lin_et_al():
    cond, uncond = pair()
    x_t = noise(1, 4, 6, 6)
    outputs = (Guided(cond, uncond, 9.0, phi, "eps")(x_t, level()).eps for phi in (0.0, 0.7, 1.0))
    none, some, full = outputs
    assert_close(some, 0.7 * full + 0.3 * none, "phi interpolates")


def test_rescaling_works_at_pure_noise():
    """Lin et al. propose it together with zero terminal SNR, where eps says nothing about x0."""
    schedule = DiscreteVP.from_config(
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
         "num_train_timesteps": 1000, "rescale_betas_zero_snr": True}
    )  # fmt: skip
    end = schedule.level(torch.tensor(999.0))
    guided = Guided(Gaussian(noise(4), 1.0), Gaussian(0.0, 1.0), 5.0, 0.7, "velocity")
    assert bool(guided(noise(2, 3, 4), end).x0.isfinite().all())


def test_both_sides_keep_their_own_state():
    class Counting(Denoiser):
        def __init__(self, start):
            super().__init__()
            self.start = start

        def init(self, x_t, generator=None):
            return torch.tensor(self.start)

        def adapt(self, state, x_t, step):
            return state + 1

        def queries(self, x_t, level, state):
            return ()

        def combine(self, answers, x_t, level, state):
            return Gaussian(float(state), 1.0)(x_t, level)

    x_t = noise(1, 2, 3)
    guided = Guided(Counting(10), Counting(20), 2.0)
    state = guided.adapt(guided.init(x_t), x_t, Step(level(), level(300.0), 0, 2))
    assert [int(each) for each in state] == [11, 21]
    expected = Guided(Gaussian(11.0, 1.0), Gaussian(21.0, 1.0), 2.0)(x_t, level()).x0
    assert_close(guided(x_t, level(), state).x0, expected, "state of each side")


def test_a_wrong_share_is_refused():
    with pytest.raises(UsageError, match="rescale"):
        Guided(Gaussian(0.0, 1.0), Gaussian(0.0, 1.0), 2.0, rescale=1.5)


def test_sides_may_belong_to_different_networks():
    cond, uncond = (
        Bound(TinyNetwork(seed=seed, dtype=torch.float64), tiny_text(seed)) for seed in (1, 2)
    )
    check_denoiser(Guided(cond, uncond, 3.0), noise(2, 4, 6, 6), level())
