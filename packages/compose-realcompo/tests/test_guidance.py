"""Layout guidance: a score moved down the loss, alone and as a branch of a balance."""

from dataclasses import replace

import pytest
import torch

from compose_core.denoiser import Step, together
from compose_core.errors import UsageError
from compose_core.evaluate import Local
from compose_core.sampler import DDIM
from compose_core.testing import laws
from compose_core.testing.models import stable_diffusion_schedule
from compose_realcompo import coefficients as coe
from compose_realcompo.balancer import Balancer, Branch
from compose_realcompo.guidance import Guidance
from compose_realcompo.lookahead import listen
from compose_realcompo.options import Options
from compose_realcompo.testing import branches

LEVELS = stable_diffusion_schedule().levels(6)


def seeded():
    return torch.Generator().manual_seed(0)


def step(index=1, total=6):
    return Step(LEVELS[index], LEVELS[index + 1], index, total, seeded(), Local())


def pulled(branch, **how):
    return Branch(branch.name, Guidance(branch.denoiser, branch.listener, **how), branch.listener)


def test_it_moves_the_score_down_the_loss(models, x_t):
    (branch, _) = branches(models, scale=2.0)
    steered = Guidance(branch.denoiser, branch.listener, strength=5.0, until=0.5)
    level = LEVELS[1]
    state = steered.adapt(steered.init(x_t), x_t, step())
    g = listen([branch.listener], x_t, level).derivative
    plain = branch.denoiser(x_t, level)
    torch.testing.assert_close(steered(x_t, level, state).score, plain.score - 5.0 * g)
    late = steered.adapt(steered.init(x_t), x_t, step(3))
    assert torch.equal(steered(x_t, level, late).x0, plain.x0)


def test_it_obeys_the_laws_of_denoisers(models, x_t):
    (branch, _) = branches(models)
    laws.check_denoiser(Guidance(branch.denoiser, branch.listener), x_t, LEVELS[2])
    unheard = Guidance(branch.denoiser, None)
    walk = DDIM(LEVELS)
    assert torch.equal(walk.sample(unheard, x_t), walk.sample(branch.denoiser, x_t))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_without_strength_a_balance_is_that_of_the_bare_branches(models, x_t, scale):
    first, second = branches(models, scale=scale)
    options = Options(start=0, rate=50.0)
    walk = DDIM(LEVELS)
    bare = walk.sample(Balancer([first, second], options), x_t, generator=seeded())
    still = Balancer([first, pulled(second, strength=0.0)], options)
    torch.testing.assert_close(walk.sample(still, x_t, generator=seeded()), bare)
    moved = Balancer([first, pulled(second, strength=50.0)], options)
    assert not torch.allclose(walk.sample(moved, x_t, generator=seeded()), bare)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_look_ahead_takes_the_steered_prediction_without_words_doubled(models, x_t, scale):
    """The step ahead blends conditional predictions; that of the steered branch is steered."""
    first, second = branches(models, scale=scale)
    balancer = Balancer([first, pulled(second, strength=20.0)], Options(start=0, rate=50.0))
    now = step()
    state = balancer.init(x_t, seeded())
    own, states = balancer.adapt(state, x_t, now)
    conds = [b.denoiser if scale == 1 else b.denoiser.cond for b in (first, second)]
    g = listen([second.listener], x_t, now.now).derivative
    alpha, sigma = now.now.to_like(x_t)
    x0 = [c(x_t, now.now).x0 for c in conds]
    x0[1] = x0[1] - 20.0 * g * sigma**2 / alpha
    xi = coe.shares(state[0].coefficients)
    x_s = coe.stepped(x_t, coe.blend(xi, x0), now.now, now.next)
    heard = listen([first.listener, second.listener], x_s, now.next)
    c = coe.slope(now.now, now.next, x_t)
    rate = coe.rate(now.index, now.total, 50.0 * 16 * 16)
    expected = state[0].coefficients - rate * coe.gradient(xi, x0, heard.derivative, c)
    torch.testing.assert_close(own.coefficients, expected, atol=1e-5, rtol=1e-4)


def test_side_by_side_each_is_as_if_alone(models, x_t):
    first, second = branches(models, scale=3.0)
    made = [
        Balancer([first, pulled(second, strength=s)], Options(start=0, rate=50.0))
        for s in (5.0, 20.0)
    ]
    x, now = x_t[:1], step()
    expected = [one.adapt(one.init(x, seeded()), x, now)[0].coefficients for one in made]
    found = together([one.adapting(one.init(x, seeded()), x, now) for one in made])
    for (own, _), alone in zip(found, expected, strict=True):
        torch.testing.assert_close(own.coefficients, alone, atol=1e-5, rtol=1e-4)


def test_what_is_heard_moves_with_it_and_nothing_is_asked_in_vain(models, x_t):
    (branch, _) = branches(models)
    steered = Guidance(branch.denoiser, branch.listener)
    steered.double()
    assert steered.listener.masks.dtype == torch.float64
    steered.float()
    everywhere = replace(branch.listener, masks=torch.ones_like(branch.listener.masks))
    idle = Guidance(branch.denoiser, everywhere)
    with pytest.raises(StopIteration) as stopped:  # no request
        next(idle.adapting(idle.init(x_t), x_t, step()))
    assert stopped.value.value[0] is None


def test_what_makes_no_sense(models):
    first, second = branches(models)
    with pytest.raises(UsageError, match="no guidance"):
        Guidance(first.denoiser, first.listener, strength=-1.0)
    with pytest.raises(UsageError, match="both listen at the sample"):
        Balancer([first, pulled(second)], Options(start=0, lagged=True))
