"""The balancer: laws of denoisers, Algorithm 1 step by step, and what it costs."""

import copy
from dataclasses import replace

import pytest
import torch

from compose_core.denoiser import Step, together
from compose_core.errors import ComposeError, UsageError
from compose_core.evaluate import Local
from compose_core.sampler import DDIM, Euler, Heun
from compose_core.testing import laws
from compose_core.testing.models import TinyNetwork, stable_diffusion_schedule, tiny_parts
from compose_realcompo import coefficients as coe
from compose_realcompo.balancer import Balance, Balancer, Branch
from compose_realcompo.lookahead import listen
from compose_realcompo.options import Options
from compose_realcompo.testing import branches, losses
from compose_realcompo.variant import VARIANTS

SCHEDULE = stable_diffusion_schedule()
LEVELS = SCHEDULE.levels(6)


def static(parts):
    return Balancer([Branch(str(k), part) for k, part in enumerate(parts)], Options(start=0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_it_obeys_the_laws_of_denoisers():
    x_t = torch.randn(3, 4, 8, 8, generator=seeded())
    parts = tiny_parts(2)
    laws.check_identical_parts(static, parts[0], x_t, LEVELS[2])
    laws.check_permutation(lambda order: static([parts[i] for i in order]), 2, x_t, LEVELS[2])
    laws.check_denoiser(static(parts), x_t, LEVELS[2])


def test_it_obeys_them_while_it_listens(models, x_t):
    denoiser = Balancer(branches(models, scale=3.0), Options(start=0))
    laws.check_denoiser(denoiser, x_t, LEVELS[2])
    laws.check_restored(
        denoiser, lambda: denoiser(x_t, LEVELS[2]).x0, lambda: run(denoiser, x_t, DDIM(LEVELS))
    )


def run(denoiser, x_t, sampler=None, evaluator=None, seed=0):
    sampler = sampler or DDIM(LEVELS)
    return sampler.sample(denoiser, x_t, generator=seeded(seed), evaluator=evaluator)


def walk(denoiser, x_t, sampler=None):
    return list((sampler or DDIM(LEVELS)).steps(denoiser, x_t, generator=seeded()))


def step(index=1, total=6, evaluator=None):
    return Step(LEVELS[index], LEVELS[index + 1], index, total, seeded(), evaluator or Local())


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_one_step_is_that_of_algorithm_1(models, doubles, x_t, scale):
    """Everything in one graph, by autograd through look-ahead, loss and softmax."""
    made = branches(models, networks=doubles, scale=scale)
    x_t = x_t.double()
    balancer = Balancer(made, Options(start=0, rate=3.0))
    state = balancer.init(x_t, seeded())
    now = step()
    own, _ = balancer.adapt(state, x_t, now)

    conds = [m.denoiser if scale == 1 else m.denoiser.cond for m in made]
    x0 = [c(x_t, now.now).x0.detach() for c in conds]
    coefficients = state[0].coefficients.clone().requires_grad_(True)
    xi = coefficients.softmax(0)
    mixed = xi[0] * x0[0] + xi[1] * x0[1]
    eps = (x_t - now.now.alpha * mixed) / now.now.sigma
    x_s = now.next.alpha * mixed + now.next.sigma * eps
    loss = losses([m.listener for m in made], x_s, now.next).sum()
    (gradient,) = torch.autograd.grad(loss, coefficients)
    rate = 3.0 * 256 * (1 - 0.5 * 1 / 5) ** 0.5
    expected = coefficients.detach() - rate * gradient
    torch.testing.assert_close(own.coefficients, expected, rtol=1e-5, atol=1e-9)
    assert (own.coefficients - state[0].coefficients).abs().max() > 1e-6

    shares = expected.softmax(0)
    guided = [m.denoiser(x_t, now.now).x0 for m in made]
    blended = shares[0] * guided[0] + shares[1] * guided[1]
    found = balancer(x_t, now.now, (own, ((), ()) if scale == 1 else (((), ()), ((), ()))))
    torch.testing.assert_close(found.x0, blended, rtol=1e-6, atol=1e-9)


def test_the_loss_falls_when_shares_move(models, x_t):
    made = branches(models)
    balancer = Balancer(made, Options(start=0, rate=40.0))
    now = step()
    before = balancer.init(x_t, seeded())
    after = balancer.adapt(before, x_t, now)
    x0 = [m.denoiser(x_t, now.now).x0 for m in made]

    def lost(own):
        x_s = coe.stepped(x_t, coe.blend(coe.shares(own.coefficients), x0), now.now, now.next)
        return listen([m.listener for m in made], x_s, now.next).losses.sum()

    assert lost(after[0]) < lost(before[0])


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("sampler", [DDIM(LEVELS), Euler(LEVELS), Heun(LEVELS)])
def test_whoever_has_all_the_say_walks_as_if_alone(models, x_t, k, sampler):
    made = branches(models, scale=2.0)
    alone = run(made[k].denoiser, x_t, sampler)
    balancer = Balancer(made, Options(start=0, dynamic=False))
    balancer.init_own = lambda x, generator: Balance(  # type: ignore[method-assign]
        torch.stack([torch.full((2, 1, 16, 16), 0.0 if i == k else -1e4) for i in range(2)])
    )
    assert torch.equal(run(balancer, x_t, sampler), alone)


def test_before_t0_the_spatial_branch_is_asked_alone(models, x_t):
    made = branches(models)
    spatial, fidelity = run(made[1].denoiser, x_t), counted(made[0].listener.network)
    balancer = Balancer(made, Options(start=1.0))
    assert torch.equal(run(balancer, x_t), spatial)
    assert fidelity() == 0
    assert torch.equal(
        run(Balancer(made, Options(start=1.0), spatial=0), x_t), run(made[0].denoiser, x_t)
    )


def counted(network):
    calls = []
    hook = network.unet.conv_in.register_forward_hook(lambda *_: calls.append(1))

    def stop():
        hook.remove()
        return len(calls)

    return stop


def test_what_was_heard_ahead_is_not_asked_again(models, x_t):
    """Per balanced step and network: one call for both sides of guidance, one look-ahead."""
    made = branches(models, scale=3.0)
    calls = [counted(m.listener.network) for m in made]
    run(Balancer(made, Options(start=0.5)), x_t)
    # 6 steps: 3 with the spatial branch alone, 3 balanced; nothing is heard of a clean sample.
    assert [stop() for stop in calls] == [3 + 2, 3 + 3 + 2]


def test_the_official_variant_moves_by_the_spatial_loss_and_also_early(models, x_t):
    how = Options(variant=VARIANTS["official"], start=0.5, rate=50.0)
    made = branches(models)
    deaf = [made[0].__class__(made[0].name, made[0].denoiser, _mute(made[0].listener)), made[1]]
    first = Balancer(deaf, how)
    state = first.init(x_t, seeded())
    moved, _ = first.adapt(state, x_t, step(0))
    assert moved.alone
    assert not torch.equal(moved.coefficients, state[0].coefficients)
    assert state[0].coefficients[0].ne(state[0].coefficients[1]).any()
    paper = Balancer(made, Options(start=0.5, rate=50.0))
    state = paper.init(x_t, seeded())
    kept, _ = paper.adapt(state, x_t, step(0))
    assert torch.equal(kept.coefficients, state[0].coefficients)


def _mute(one):
    return replace(one, counts=False)


def test_a_lagged_update_asks_no_more_than_a_static_blend(models, x_t):
    made = branches(models)
    calls = [counted(m.listener.network) for m in made]
    walked = walk(Balancer(made, Options(start=0, lagged=True, rate=50.0)), x_t)
    assert [stop() for stop in calls] == [6, 6]
    coefficients = [moment.state[0].coefficients for moment in walked]
    assert torch.equal(coefficients[0][0], coefficients[0][1])  # nothing to credit yet
    assert not torch.equal(coefficients[1][0], coefficients[1][1])


def test_every_so_many_steps(models, x_t):
    walked = walk(Balancer(branches(models), Options(start=0, update_every=3)), x_t)
    assert [m.state[0].heard is not None for m in walked] == [True, False, False] * 2


def test_regions_that_are_everywhere_or_unnamed_cost_nothing(models, x_t):
    for more in ({"masks": torch.ones(2, 16, 16)}, {"spans": ((), ())}):
        made = branches(models, **more)
        calls = [counted(m.listener.network) for m in made]
        run(Balancer(made, Options(start=0)), x_t)
        assert [stop() for stop in calls] == [6, 6]


def test_the_batch_does_not_matter(models, x_t):
    balancer = Balancer(branches(models, scale=2.0), Options(start=0, rate=20.0))
    both = run(balancer, x_t)
    for size in (1, 3):
        split = run(balancer, x_t, evaluator=Local(max_batch=size))
        torch.testing.assert_close(split, both, rtol=1e-3, atol=1e-3)
    sampler = DDIM(LEVELS)
    rows = [seeded(4), seeded(5)]
    lone = sampler.sample(balancer, x_t[1:], generator=[seeded(5)])
    torch.testing.assert_close(
        lone, sampler.sample(balancer, x_t, generator=rows)[1:], rtol=1e-3, atol=1e-3
    )


def test_same_seed_same_bytes(models, x_t):
    balancer = Balancer(branches(models), Options(start=0.3, variant=VARIANTS["official"]))
    assert torch.equal(run(balancer, x_t, seed=1), run(balancer, x_t, seed=1))
    assert not torch.equal(run(balancer, x_t, seed=1), run(balancer, x_t, seed=2))


def test_the_trace_holds_shares_losses_and_attention(models, x_t):
    balancer = Balancer(branches(models), Options(start=0.5))
    first, *_, last, _ = walk(balancer, x_t)
    early = balancer.traced(first.state)
    assert torch.equal(early["1.share"], torch.ones(2, 1, 16, 16))
    assert set(early) == {f"{k}.share{r}" for k in "01" for r in ("", ".0", ".1")}
    late = balancer.traced(last.state)
    torch.testing.assert_close(late["0.share"] + late["1.share"], torch.ones(2, 1, 16, 16))
    assert late["0.loss"].shape == (2,)
    torch.testing.assert_close(late["0.gradient"], late["1.gradient"])  # opposite, as in theory
    assert (late["0.gradient"] > 0).all()
    left = late["0.share"][:, 0, :, :8].mean((1, 2))
    torch.testing.assert_close(late["0.share.0"], left)
    assert late["1.attention.1"].shape == (2, 1, 16, 16)


def test_three_branches(models, x_t):
    made = branches([models[0], models[1], models[0]])
    walked = walk(Balancer(made, Options(start=0, rate=50.0)), x_t)
    xi = coe.shares(walked[-1].state[0].coefficients)
    torch.testing.assert_close(xi.sum(0), torch.ones(2, 1, 16, 16))
    torch.testing.assert_close(xi[0], xi[2])  # twins move alike
    assert not torch.allclose(xi[0], xi[1])


def test_a_step_that_stays_where_it_is_is_not_looked_ahead(models, x_t):
    balancer = Balancer(branches(models), Options(start=0))
    state = balancer.init(x_t, seeded())
    still = Step(LEVELS[1], LEVELS[1], 1, 6, seeded(), Local())
    own, _ = balancer.adapt(state, x_t, still)
    assert own.heard is None
    assert torch.equal(own.coefficients, state[0].coefficients)


def test_a_lagged_update_credits_no_shares_that_had_no_part(models, x_t):
    how = Options(variant=VARIANTS["official"], start=0.5, lagged=True, rate=50.0)
    walked = walk(Balancer(branches(models), how), x_t)
    coefficients = [moment.state[0].coefficients for moment in walked]
    assert all(torch.equal(c, coefficients[0]) for c in coefficients[:4])
    assert not torch.equal(coefficients[4], coefficients[3])


def test_a_branch_whose_numbers_break_is_named(models, x_t):
    broken = copy.deepcopy(models[1].network)
    with torch.no_grad():
        broken.unet.conv_out.bias[0] = float("nan")
    made = branches(models, networks=[models[0].network, broken])
    with pytest.raises(ComposeError, match=r"prediction of branch '1' is not finite at step 1"):
        run(Balancer(made, Options(start=0)), x_t)


def test_what_is_heard_moves_with_the_balancer(models):
    balancer = Balancer(branches(models), Options(start=0))
    masks = [one.masks.dtype for one in balancer._listeners]
    moved = copy.deepcopy(balancer).double()
    assert masks == [torch.float32, torch.float32]
    assert all(one.masks.dtype == torch.float64 for one in moved._listeners)
    assert all(one.encoded["text"].dtype == torch.float64 for one in moved._listeners)


def test_a_branch_must_have_two_known_sides(models):
    made = branches(models)
    with pytest.raises(UsageError, match="cannot be looked ahead with"):
        Branch("nested", Balancer(made, Options()), made[0].listener)
    with pytest.raises(UsageError, match="no such branch"):
        Balancer(made, Options(), spatial=2)


def test_numbers_that_make_no_sense():
    for bad in ({"rate": -1.0}, {"start": 1.5}, {"update_every": 0}):
        with pytest.raises(UsageError, match=next(iter(bad))):
            Options(**bad)
    with pytest.raises(UsageError, match="lagged"):
        Options(lagged=True, guided_lookahead=True)


def test_the_networks_of_core_can_be_balanced_without_listening():
    x_t = torch.randn(1, 4, 8, 8, generator=seeded())
    network = TinyNetwork()
    balancer = static(tiny_parts(3, network))
    assert torch.isfinite(run(balancer, x_t)).all()


def test_scenes_side_by_side_share_look_aheads_and_change_nothing(models, x_t):
    """Each moves its shares as if alone, in as many calls as one of them needs."""
    made = [Balancer(branches(models, scale=s), Options(start=0, rate=50.0)) for s in (3.0, 5.0)]
    x = x_t[:1]
    expected = [one.adapt(one.init(x, seeded()), x, step())[0] for one in made]
    counts = [counted(model.network) for model in models]
    made[0].adapt(made[0].init(x, seeded()), x, step())
    single = [stop() for stop in counts]
    counts = [counted(model.network) for model in models]
    shared = Local()
    at = step(evaluator=shared)
    found = together([one.adapting(one.init(x, seeded()), x, at) for one in made])
    assert [stop() for stop in counts] == single == [2, 2]
    for (own, _), alone in zip(found, expected, strict=True):
        torch.testing.assert_close(own.coefficients, alone.coefficients, atol=1e-5, rtol=1e-4)
    levels = [step(index, evaluator=shared) for index in (1, 3)]  # also at levels of their own
    both = together(
        [b.adapting(b.init(x, seeded()), x, at) for b, at in zip(made, levels, strict=True)]
    )
    other = made[1].adapt(made[1].init(x, seeded()), x, levels[1])[0]
    torch.testing.assert_close(both[1][0].coefficients, other.coefficients, atol=1e-5, rtol=1e-4)
