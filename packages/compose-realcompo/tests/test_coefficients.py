"""The algebra of shares, against autograd and scalar formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_core.schedule import Level
from compose_core.testing.models import stable_diffusion_schedule
from compose_realcompo import coefficients as coe

LEVELS = stable_diffusion_schedule().levels(10)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_closed_form_is_the_derivative(count):
    now, after = LEVELS[3], LEVELS[4]
    x_t, target = draw(2, 4, 5, 3), draw(2, 4, 5, 3, seed=1)
    x0 = [draw(2, 4, 5, 3, seed=10 + k) for k in range(count)]
    coefficients = draw(count, 2, 1, 5, 3, seed=2).requires_grad_(True)
    xi = coe.shares(coefficients)
    x_s = coe.stepped(x_t, coe.blend(xi, x0), now, after)
    loss = ((x_s - target) ** 2).sin().sum()
    by_autograd, g = torch.autograd.grad(loss, (coefficients, x_s))
    found = coe.gradient(xi.detach(), x0, g, coe.slope(now, after, x_t))
    torch.testing.assert_close(found, by_autograd, rtol=1e-10, atol=1e-12)


def test_for_two_the_derivatives_are_opposite():
    xi = coe.shares(draw(2, 2, 1, 4, 4))
    x0 = [draw(2, 4, 4, 4, seed=1), draw(2, 4, 4, 4, seed=2)]
    found = coe.gradient(xi, x0, draw(2, 4, 4, 4, seed=3), torch.tensor(0.7))
    torch.testing.assert_close(found[0], -found[1])
    by_hand = 0.7 * xi[0] * xi[1] * (draw(2, 4, 4, 4, seed=3) * (x0[0] - x0[1])).sum(1, True)
    torch.testing.assert_close(found[0], by_hand)


@given(st.floats(0.01, 100), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_who_is_steered_down_the_loss_gains_the_say_everywhere(strength, seed):
    """So a branch under layout guidance gains against the same model without it."""
    xi, free = coe.shares(draw(2, 2, 1, 4, 4, seed=seed)), draw(2, 4, 4, 4, seed=seed + 20)
    g = draw(2, 4, 4, 4, seed=seed + 40)
    found = coe.gradient(xi, [free, free - strength * g], g, coe.slope(LEVELS[3], LEVELS[4], free))
    assert (found[0] > 0).all()
    assert (found[1] < 0).all()


def test_the_step_is_that_of_eps():
    """Eq. 12 in the terms of the paper: noise removed, less noise put back."""
    now, after = LEVELS[2], LEVELS[3]
    x_t, x0 = draw(1, 4, 3, 3), draw(1, 4, 3, 3, seed=1)
    eps = (x_t - now.alpha * x0) / now.sigma
    expected = after.alpha * x0 + after.sigma * eps
    torch.testing.assert_close(coe.stepped(x_t, x0, now, after), expected)


@given(st.integers(1, 60), st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_the_rate_falls_to_its_root_half(total, scale):
    rates = [coe.rate(i, total, scale) for i in range(total)]
    assert rates[0] == scale
    assert rates == sorted(rates, reverse=True)
    if total > 1:
        assert math.isclose(rates[-1], scale * math.sqrt(0.5))


def test_shares_sum_to_one_and_equal_draws_are_equal_shares(x_t):
    drawn = coe.initial(3, x_t, torch.Generator().manual_seed(0))
    assert drawn.shape == (3, 2, 1, 16, 16)
    assert drawn.std() > 0.5
    torch.testing.assert_close(coe.shares(drawn), torch.full_like(drawn, 1 / 3))
    other = coe.shares(coe.initial(3, x_t, torch.Generator().manual_seed(0), equal=False))
    torch.testing.assert_close(other.sum(0), torch.ones(2, 1, 16, 16))
    assert other.std() > 0.05


def test_draws_do_not_depend_on_the_batch(x_t):
    def seeded(*seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    both = coe.initial(2, x_t, seeded(4, 5), equal=False)
    alone = coe.initial(2, x_t[1:], seeded(5), equal=False)
    assert torch.equal(both[:, 1:], alone)


def test_the_slope_of_levels_of_each_sample():
    now = Level(torch.tensor([0.5, 0.8]), torch.tensor([0.9, 0.6]), torch.tensor([5.0, 3.0]))
    after = Level(torch.tensor([0.8, 0.9]), torch.tensor([0.6, 0.4]), torch.tensor([3.0, 2.0]))
    found = coe.slope(now, after, draw(2, 4, 3, 3)).flatten()
    expected = [0.8 - 0.5 * 0.6 / 0.9, 0.9 - 0.8 * 0.4 / 0.6]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
