"""Recording and steering attention leaves the model as it was."""

import copy
import math

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from compose_core.attention import inject, layers, record
from compose_core.errors import ShapeError, UsageError
from compose_core.testing.laws import check_restored

TEXT, TOKENS = 16, 5


@pytest.fixture(scope="module")
def unet():
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        return UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=TEXT,
            attention_head_dim=2,
            norm_num_groups=4,
        ).eval()


def inputs(batch=2, size=(8, 8), seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 4, *size, generator=g)
    return x, torch.tensor(500), torch.randn(batch, TOKENS, TEXT, generator=g)


def call(unet, x, t, text):
    return unet(x, t, encoder_hidden_states=text).sample


@torch.no_grad()
def test_recording_does_not_change_the_output(unet, device):
    unet = copy.deepcopy(unet).to(device)
    given = [value.to(device) for value in inputs()]
    want = call(unet, *given)
    with record(unet) as maps:
        got = call(unet, *given)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    assert all(value.device.type == device.type for value in maps.values())


@torch.no_grad()
def test_maps_sum_to_one_over_the_tokens(unet):
    with record(unet) as maps:
        call(unet, *inputs())
    assert len(maps) == len(layers(unet)) > 0
    for value in maps.values():
        assert value.shape[0::3] == (2, TOKENS) and value.shape[1] == 2
        torch.testing.assert_close(value.sum(-1), torch.ones(value.shape[:-1]))


@torch.no_grad()
def test_only_the_chosen_layers_leave_the_fused_path(unet, monkeypatch):
    fused = []
    real = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *a, **k: fused.append(1) or real(*a, **k),
    )
    call(unet, *inputs())
    every = len(fused)
    monkeypatch.undo()
    with record(unet, "up_blocks.0.*") as maps:
        call(unet, *inputs())
    assert set(maps) == {n for n in layers(unet) if n.startswith("up_blocks.0.")}
    assert every == 2 * len(layers(unet))


@torch.no_grad()
def test_rows_of_a_classifier_free_batch_are_those_of_the_conditional_alone(unet):
    x, t, text = inputs(batch=2)
    with record(unet) as alone:
        call(unet, x, t, text)
    both = torch.cat([torch.zeros_like(text), text])
    with record(unet, rows=slice(2, None)) as half:
        call(unet, torch.cat([x, x]), t, both)
    for name in alone:
        torch.testing.assert_close(half[name], alone[name], atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("where", [None, lambda name, module: True])
def test_the_model_is_restored_bit_for_bit_after_an_exception(unet, where):
    def disturb():
        with pytest.raises(ZeroDivisionError), record(unet, where), inject(unet, torch.ones(1)):
            call(unet, *inputs())
            raise ZeroDivisionError

    check_restored(unet, lambda: call(unet, *inputs()), disturb)


@torch.no_grad()
def test_a_failure_inside_the_layer_restores_the_model(unet):
    def disturb():
        with pytest.raises(ShapeError, match="does not fit"), inject(unet, torch.zeros(3)):
            call(unet, *inputs())

    check_restored(unet, lambda: call(unet, *inputs()), disturb)


@torch.no_grad()
@pytest.mark.parametrize("size", ["auto", "max", 1, 2])
def test_sliced_attention_is_refused_with_the_remedy(unet, size):
    """A slice holds some heads of some rows: its maps would be taken for those of all."""
    unet = copy.deepcopy(unet)
    unet.set_attention_slice(size)
    for steer in (record(unet), inject(unet, torch.zeros(1))):
        with pytest.raises(UsageError, match="set_default_attn_processor"), steer:
            call(unet, *inputs(batch=3))
    unet.set_default_attn_processor()
    with record(unet) as maps:
        call(unet, *inputs(batch=3))
    assert all(value.shape[:2] == (3, 2) for value in maps.values())


def test_gradients_reach_the_input_only_when_asked(unet):
    x, t, text = inputs()
    x.requires_grad_()
    with record(unet) as cut:
        call(unet, x, t, text)
    assert not any(m.requires_grad for m in cut.values())
    with record(unet, grad=True) as kept:
        call(unet, x, t, text)
    loss = torch.stack([m[..., 0].square().mean() for m in kept.values()]).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    assert gradient.abs().max() > 0


def test_the_gradient_of_the_output_is_that_of_the_fused_path(unet):
    x, t, text = inputs()
    x.requires_grad_()
    (want,) = torch.autograd.grad(call(unet, x, t, text).square().sum(), x)
    with record(unet):
        (got,) = torch.autograd.grad(call(unet, x, t, text).square().sum(), x)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_classic_processor_gives_the_same_maps(unet):
    with record(unet) as fused:
        call(unet, *inputs())
    before = dict(unet.attn_processors)
    unet.set_attn_processor(AttnProcessor())
    try:
        with record(unet) as classic:
            call(unet, *inputs())
    finally:
        unet.set_attn_processor(before)
    for name in fused:
        torch.testing.assert_close(classic[name], fused[name], atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("order", ["record first", "inject first"])
def test_a_masked_token_gets_no_attention_whatever_the_nesting(unet, order):
    allowed = torch.ones(TOKENS, dtype=torch.bool)
    allowed[2] = False
    if order == "record first":
        with record(unet) as maps, inject(unet, allowed):
            call(unet, *inputs())
    else:
        with inject(unet, allowed), record(unet) as maps:
            call(unet, *inputs())
    for value in maps.values():
        assert value[..., 2].abs().max() == 0
        torch.testing.assert_close(value.sum(-1), torch.ones(value.shape[:-1]))


@torch.no_grad()
def test_a_bias_multiplies_the_odds(unet):
    """softmax(s + b) is softmax(s) * exp(b), normalised: checked in the first layer alone."""
    first = next(iter(layers(unet)))
    bias = torch.tensor([0.0, 1.0, 0.0, -2.0, 0.5])
    with record(unet, first) as plain:
        call(unet, *inputs())
    with inject(unet, bias, first), record(unet, first) as biased:
        call(unet, *inputs())
    want = plain[first] * bias.exp()
    torch.testing.assert_close(biased[first], want / want.sum(-1, keepdim=True))


@torch.no_grad()
def test_injection_is_the_same_with_and_without_recording(unet):
    bias = torch.linspace(-1, 1, TOKENS)
    with inject(unet, bias):
        want = call(unet, *inputs())
    with inject(unet, bias), record(unet):
        got = call(unet, *inputs())
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_function_bias_sees_each_layer_and_may_leave_it_alone(unet):
    seen = {}
    with inject(unet, lambda name, shape: seen.update({name: shape})):
        got = call(unet, *inputs())
    assert set(seen) == set(layers(unet))
    assert torch.equal(got, call(unet, *inputs()))


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), (6, 10)])
def test_average_lays_queries_out_in_space(unet, size):
    with record(unet) as maps:
        call(unet, *inputs(size=size))
    mean = maps.average(size)
    assert mean.shape == (2, TOKENS, *size)
    torch.testing.assert_close(mean.sum(1), torch.ones(2, *size))


@torch.no_grad()
def test_every_call_is_kept_in_order(unet):
    with record(unet, mean_heads=True) as maps:
        call(unet, *inputs(seed=0))
        call(unet, *inputs(seed=1, batch=1))
    name = next(iter(maps))
    assert [len(c) for c in maps.calls(name)] == [2, 1]
    assert maps[name] is maps.calls(name)[-1] and maps[name].shape[1] == 1
    maps.clear()
    assert len(maps) == 0
    with pytest.raises(UsageError, match="has not run"):
        maps[name]


def test_a_pattern_that_matches_nothing_names_the_layers(unet):
    with pytest.raises(UsageError, match="attn2"), record(unet, "nowhere.*"):
        pass


@torch.no_grad()
def test_half_precision_does_not_overflow(unet):
    big = torch.full((1, TOKENS, TEXT), 1e3)
    x, t, _ = inputs(batch=1)
    with record(unet) as maps:
        call(unet, x, t, big)
    assert all(m.isfinite().all() and not math.isnan(float(m.sum())) for m in maps.values())
