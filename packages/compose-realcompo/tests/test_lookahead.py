"""Listening: its derivative is the true one, and what it leaves out changes nothing."""

import copy
from dataclasses import replace

import pytest
import torch

from compose_core.errors import ComposeError
from compose_core.testing.models import stable_diffusion_schedule
from compose_realcompo.lookahead import listen
from compose_realcompo.testing import branches, losses

LEVEL = stable_diffusion_schedule().levels(10)[4]


@pytest.fixture
def listeners(models):
    return [branch.listener for branch in branches(models)]


def test_the_derivative_is_that_of_autograd(models, doubles, x_t):
    listeners = [branch.listener for branch in branches(models, networks=doubles)]
    x = x_t.double().requires_grad_(True)
    lost = losses(listeners, x, LEVEL)
    (expected,) = torch.autograd.grad(lost.sum(), x)
    heard = listen(listeners, x_t.double(), LEVEL)
    torch.testing.assert_close(heard.losses.sum(0), lost.detach(), rtol=1e-9, atol=0)
    torch.testing.assert_close(heard.derivative, expected, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("factor", [1, 2])
def test_leaving_early_changes_no_bit(models, x_t, factor):
    listeners = [branch.listener for branch in branches(models, factor=factor)]
    early = listen(listeners, x_t, LEVEL)
    late = listen(listeners, x_t, LEVEL, to_the_end=True)
    assert early.x0 is None and late.x0 is not None
    assert torch.equal(early.losses, late.losses)
    assert torch.equal(early.derivative, late.derivative)
    for a, b in zip(early.attention, late.attention, strict=True):
        assert torch.equal(a, b)
    for k, one in enumerate(listeners):
        torch.testing.assert_close(late.x0[k], one.network(x_t, LEVEL, one.encoded).x0)


def test_nothing_after_the_last_heard_layer_runs(models, x_t):
    (first, _) = [branch.listener for branch in branches(models, factor=2)]
    ran = []
    last = first.unet.conv_out.register_forward_hook(lambda *_: ran.append("out"))
    after = first.unet.up_blocks[1].resnets[0]
    fine = after.register_forward_hook(lambda *_: ran.append("fine"))
    listen([first], x_t, LEVEL)
    last.remove()
    fine.remove()
    assert ran == []
    assert not any("forward" in module.__dict__ for module in first.unet.modules())
    assert not any(module._forward_hooks for module in first.unet.modules())


def test_samples_do_not_know_of_each_other(listeners, x_t):
    both = listen(listeners, x_t, LEVEL)
    for size in (1, 3):
        parts = listen(listeners, x_t, LEVEL, max_batch=size)
        assert (parts.derivative - both.derivative).norm() < 1e-4 * both.derivative.norm()
        torch.testing.assert_close(parts.losses, both.losses)
    alone = listen(listeners, x_t[1:], LEVEL)
    error = alone.derivative - both.derivative[1:]
    assert error.norm() < 1e-4 * both.derivative[1:].norm()


def test_branches_of_one_network_share_a_call(models, x_t):
    same = [branch.listener for branch in branches([models[0], models[0]])]
    calls = []
    hook = models[0].network.unet.conv_in.register_forward_hook(
        lambda _, args, out: calls.append(len(out))
    )
    listen(same, x_t, LEVEL)
    hook.remove()
    assert calls == [4]


def test_one_that_does_not_count_moves_nothing(models, x_t):
    deaf = [branch.listener for branch in branches(models, counts=False)]
    heard = listen(deaf, x_t, LEVEL)
    assert torch.equal(heard.derivative, torch.zeros_like(x_t))
    assert (heard.losses > 0).all()


def test_weights_ask_for_no_gradient_meanwhile_and_for_as_much_as_before_after(listeners, x_t):
    weights = list(listeners[0].network.parameters())
    asking = [weight.requires_grad for weight in weights]
    assert any(asking)
    listen(listeners, x_t, LEVEL)
    assert [weight.requires_grad for weight in weights] == asking
    assert all(weight.grad is None for weight in weights)


def test_half_precision_keeps_small_derivatives(models, x_t):
    """Unscaled, derivatives of about 1e-7 are below the smallest half-precision number."""
    wide = [branch.listener for branch in branches(models)]
    halves = [branch.listener for branch in branches(models, networks=half(models))]
    expected = listen(wide, x_t, LEVEL).derivative
    found = listen(halves, x_t, LEVEL).derivative
    error = (found - expected).norm() / expected.norm()
    assert error < 0.05
    assert found.dtype == x_t.dtype


def half(models):
    return [copy.deepcopy(model.network).half() for model in models]


def test_what_is_not_finite_is_named(models, x_t):
    network = copy.deepcopy(models[0].network)
    with torch.no_grad():
        network.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2.to_q.weight[0] = (
            float("nan")
        )
    (one,) = [b.listener for b in branches(models[:1], networks=[network])]
    with pytest.raises(ComposeError, match=r"step 7 of 9[\s\S]*down_blocks\.0"):
        listen([one], x_t, LEVEL, moment="step 7 of 9")


def test_it_hears_the_same_wherever_it_is(models, x_t, device):
    networks = [copy.deepcopy(model.network).to(device) for model in models]
    here = [branch.listener for branch in branches(models)]
    there = [
        replace(one, network=network, unet=network.unet, encoded=one.encoded.to(device))
        for one, network in zip(here, networks, strict=True)
    ]
    expected, found = listen(here, x_t, LEVEL), listen(there, x_t.to(device), LEVEL)
    assert found.derivative.device.type == device.type
    error = found.derivative.cpu() - expected.derivative
    assert error.norm() < 1e-2 * expected.derivative.norm()


def test_one_branch_may_have_no_words(models, x_t):
    (first, second) = [branch.listener for branch in branches(models)]
    mute = replace(first, spans=((), ()))
    heard = listen([mute, second], x_t, LEVEL)
    assert torch.equal(heard.losses[0], torch.zeros(2))
    assert torch.equal(heard.derivative, listen([second], x_t, LEVEL).derivative)
    assert torch.equal(listen([mute], x_t, LEVEL).derivative, torch.zeros_like(x_t))


def test_branches_of_one_network_keep_their_own_words(models, x_t):
    (first, second) = [branch.listener for branch in branches([models[0], models[0]])]
    other = replace(second, spans=((4,), (2, 3)))
    both = listen([first, other], x_t, LEVEL)
    for k, one in enumerate((first, other)):
        alone = listen([one], x_t, LEVEL)
        torch.testing.assert_close(both.losses[k], alone.losses[0])
    assert not torch.allclose(both.losses[0], both.losses[1])
