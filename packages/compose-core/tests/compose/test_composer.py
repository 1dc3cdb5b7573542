"""The plumbing: states, hooks, nesting."""

import pytest
import torch

from compose_core.compose import Composer, Product, Regional
from compose_core.denoiser import Denoiser, Gaussian, Step
from compose_core.errors import UsageError
from compose_core.noise import normal_like
from compose_core.prediction import Prediction
from compose_core.testing.laws import assert_close, check_denoiser, check_same_bytes
from compose_core.testing.models import (
    TinyNetwork,
    stable_diffusion_schedule,
    tiny_parts,
)


def noise(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


def level(t=400.0):
    return stable_diffusion_schedule().level(torch.tensor(t))


class Shifted(Denoiser):
    """A constant, moved by one at each step; it starts from noise."""

    def init(self, x_t, generator=None):
        return normal_like(x_t, generator) if generator is not None else torch.zeros_like(x_t)

    def adapt(self, state, x_t, step):
        return state + 1

    def queries(self, x_t, level, state):
        return ()

    def combine(self, answers, x_t, level, state):
        assert answers == ()
        return Prediction(x_t, level, state)


class Halves(Composer):
    """Part 0 sees the left half, part 1 the right; counts its steps and what the parts hold."""

    def input(self, i, x_t):
        return x_t.chunk(2, -1)[i]

    def init_own(self, x_t, generator):
        return 0

    def adapt_own(self, own, states, x_t, step):
        return own + 1 + step.index

    def merge(self, predictions, x_t, level, own):
        x0 = torch.cat([prediction.x0 for prediction in predictions], -1)
        return Prediction(x_t, level, x0 + 100 * own)


def test_states_are_threaded_through_parts_and_rule():
    composer, x_t = Halves([Shifted(), Shifted()]), noise(2, 3, 4)
    state = composer.init(x_t)
    assert state[0] == 0 and [each.shape for each in state[1]] == [(2, 3, 2)] * 2
    for index in range(3):
        kept = state
        state = composer.adapt(state, x_t, Step(level(), level(300.0), index, 3))
        assert kept[0] != state[0], "the old state is not changed"
    assert state[0] == 1 + 2 + 3
    assert_close(
        composer(x_t, level(), state).x0, torch.full_like(x_t, 603.0), "3 steps and 100 x 6"
    )


def test_the_rule_adapts_after_its_parts():
    class Watching(Halves):
        def adapt_own(self, own, states, x_t, step):
            return float(states[0].mean())

    composer, x_t = Watching([Shifted(), Shifted()]), noise(1, 1, 4)
    state = composer.adapt(composer.init(x_t), x_t, Step(level(), level(300.0), 0, 1))
    assert state[0] == 1.0


def test_randomness_comes_from_the_generator_alone():
    composer, x_t = Halves([Shifted(), Shifted()]), noise(2, 3, 4)
    check_same_bytes(lambda g: composer(x_t, level(), composer.init(x_t, g)).x0)
    each = [torch.Generator().manual_seed(i) for i in range(2)]
    together = composer(x_t, level(), composer.init(x_t, each)).x0
    alone = composer.init(x_t[1:], [torch.Generator().manual_seed(1)])
    assert torch.equal(together[1:], composer(x_t[1:], level(), alone).x0)


def test_an_empty_state_is_made_when_needed():
    composer, x_t = Halves([Shifted(), Shifted()]), noise(2, 3, 4)
    assert torch.equal(composer(x_t, level()).x0, torch.zeros_like(x_t))


def test_compositions_nest():
    """A product of regions of products is what its formula says, in one network call."""
    network = TinyNetwork(dtype=torch.float64)
    parts = tiny_parts(4, network)
    masks = torch.rand((2, 6, 6), generator=torch.Generator().manual_seed(1)).double()
    inner = Product([parts[0], parts[1]], [2.0])
    nested = Product([parts[3], Regional([inner, parts[2]], masks)], [1.5])
    x_t = noise(2, 4, 6, 6)
    a, b, c, d = (part(x_t, level()).x0 for part in parts)
    share = masks / masks.sum(0)
    region = share[0] * (a + 2 * (b - a)) + share[1] * c
    network.rows.clear()
    actual = nested(x_t, level()).x0
    assert network.rows == [4 * 2]
    assert_close(actual, d + 1.5 * (region - d), "nested formula")
    check_denoiser(nested, x_t, level())


def test_a_composition_of_nothing_is_refused():
    with pytest.raises(UsageError, match="needs parts"):
        Halves([])


def test_parts_are_submodules():
    network = TinyNetwork()
    regional = Regional([*tiny_parts(2, network), Gaussian(0.0, 1.0)], torch.ones(3, 6, 6))
    assert {id(p) for p in regional.parameters()} == {id(p) for p in network.parameters()}
    assert len(regional.denoisers) == 3
