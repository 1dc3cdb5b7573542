"""Soft guidance against its formulas, and the model as it was afterwards."""

import copy
import math

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, IPAdapterAttnProcessor2_0

from compose_cnc.attention import Guidance, KeyValue, attending, cross_layers, project
from compose_cnc.regions import at_size, columns
from compose_cnc.testing import draw
from compose_core.attention import record
from compose_core.errors import UsageError

TEXT, N, HEADS = 5, 2, 2
SIZES = ((16, 16), (8, 8))


@pytest.fixture(scope="module")
def layers(unet):
    return cross_layers({"unet": unet})


def mask(batch=1):
    made = torch.zeros(batch, 1, 64, 64)
    made[..., 20:50, 12:40] = 1
    return made


def shares(masks, resize="official"):
    made = [columns(at_size(masks, size, resize), TEXT, N) for size in SIZES]
    return {x.shape[2]: x for x in made}


def two(mask):
    return torch.cat([mask, torch.ones_like(mask)], 1)


def question(batch=1, seed=0):
    return draw(batch, 4, 16, 16, seed=seed), draw(batch, TEXT + 2 * N, 32, seed=seed + 1)


@torch.no_grad()
def answer(unet, layers, given, x, context):
    with attending(layers, given):
        return unet(x, torch.tensor(500), encoder_hidden_states=context).sample


def published(query, key, value, mask):
    """The rule of the published code: fill closed logits of an explicit softmax."""
    cells = torch.nn.functional.interpolate(
        mask, (math.isqrt(query.shape[2]),) * 2, mode="bicubic", align_corners=False
    ).bool()
    fg = cells.flatten(1)[:, None, :, None]
    text = fg.new_ones(fg.shape).expand(-1, -1, -1, TEXT)
    tokens = (fg.expand(-1, -1, -1, N), ~fg.expand(-1, -1, -1, N))
    scores = query @ key.mT / query.shape[-1] ** 0.5
    scores = scores.masked_fill(~torch.cat([text, *tokens], -1), -torch.finfo(scores.dtype).max)
    return scores.softmax(-1) @ value


@pytest.mark.parametrize("side", [16, 8])
def test_two_hard_regions_are_the_published_rule(side):
    query = draw(1, HEADS, side**2, 8)
    key, value = draw(2, 1, HEADS, TEXT + 2 * N, 8, seed=1).unbind(0)
    got = Guidance(shares=shares(two(mask()))).attend(query, key, value, None)
    torch.testing.assert_close(got, published(query, key, value, mask()), atol=2e-6, rtol=1e-5)


def test_the_paper_multiplies_logits_and_leaks():
    query = draw(1, HEADS, 64, 8)
    key, value = draw(2, 1, HEADS, TEXT + 2 * N, 8, seed=1).unbind(0)
    given = shares(two(mask()))
    got = Guidance(shares=given, rule="paper").attend(query, key, value, None)
    scores = query @ key.mT / 8**0.5
    want = (scores * given[64]).softmax(-1) @ value
    torch.testing.assert_close(got, want)
    closed = (given[64] == 0).expand_as(scores)
    assert (scores * given[64]).softmax(-1)[closed].min() > 0


@torch.no_grad()
def test_open_everywhere_is_plain_attention(unet, layers):
    x, context = question()
    want = unet(x, torch.tensor(500), encoder_hidden_states=context).sample
    everywhere = {n: torch.ones_like(s) for n, s in shares(two(mask())).items()}
    assert torch.equal(answer(unet, layers, Guidance(), x, context), want)
    assert torch.equal(
        answer(unet, layers, Guidance(shares=shares(two(mask())), rule="off"), x, context), want
    )
    for rule in ("mask", "paper"):
        got = answer(unet, layers, Guidance(shares=everywhere, rule=rule), x, context)
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_tokens_of_a_region_without_a_cell_are_not_heard(unet, layers):
    x, context = question()
    other = context.clone()
    other[:, TEXT : TEXT + N] = draw(1, N, 32, seed=9)  # the foreground's
    given = Guidance(shares=shares(two(torch.zeros(1, 1, 64, 64))))
    assert torch.equal(
        answer(unet, layers, given, x, context), answer(unet, layers, given, x, other)
    )
    leaking = Guidance(shares=shares(two(torch.zeros(1, 1, 64, 64))), rule="paper")
    apart = answer(unet, layers, leaking, x, context) - answer(unet, layers, leaking, x, other)
    assert apart.abs().max() > 1e-6


@torch.no_grad()
def test_two_half_regions_with_the_same_tokens_are_one(unet, layers):
    """`log v` is the calibrated bias: shares of equal tokens add up."""
    x, context = question()
    context[:, TEXT + N :] = context[:, TEXT : TEXT + N]
    half = Guidance(shares=shares(torch.full((1, 2, 64, 64), 0.5), "area"))
    one = torch.full((1, 2, 64, 64), 0.75)
    one[:, 1] = 0
    whole = Guidance(shares=shares(one, "area"))
    want, got = (answer(unet, layers, g, x, context) for g in (whole, half))
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_order_of_regions_with_their_tokens_does_not_matter_where_none_overlap(unet, layers):
    x, context = question()
    left = torch.zeros(1, 1, 64, 64)
    left[..., :32] = 1
    masks = torch.cat([left, 1 - left], 1)
    turned = torch.cat([context[:, :TEXT], context[:, TEXT + N :], context[:, TEXT : TEXT + N]], 1)
    want = answer(unet, layers, Guidance(shares=shares(masks)), x, context)
    got = answer(unet, layers, Guidance(shares=shares(masks.flip(1))), x, turned)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_prepared_keys_and_values_give_the_same_bits(unet, layers):
    x, context = question()
    given = shares(two(mask()))
    prepared = {name: project(layer, context) for name, layer in layers.items()}
    want = answer(unet, layers, Guidance(shares=given), x, context)
    got = answer(unet, layers, Guidance(prepared, given), x, context[:, :TEXT])
    assert torch.equal(got, want)
    empty = {name: KeyValue(k * 0, v * 0) for name, (k, v) in prepared.items()}
    assert not torch.equal(answer(unet, layers, Guidance(empty, given), x, context), want)


@torch.no_grad()
def test_the_model_is_as_it_was_even_after_a_failure(unet, layers):
    x, context = question()
    want = unet(x, torch.tensor(500), encoder_hidden_states=context).sample
    before = {name: dict(layer.__dict__) for name, layer in layers.items()}
    with pytest.raises(RuntimeError, match="on purpose"), attending(layers, Guidance()):
        raise RuntimeError("on purpose")
    with pytest.raises(UsageError, match="no regions were given for this resolution"):
        answer(unet, layers, Guidance(shares={7: torch.ones(1, 1, 7, 9)}), x, context)
    assert {name: dict(layer.__dict__) for name, layer in layers.items()} == before
    assert torch.equal(unet(x, torch.tensor(500), encoder_hidden_states=context).sample, want)


@torch.no_grad()
@pytest.mark.parametrize("rule", ["mask", "paper"])
def test_guided_layers_can_be_recorded(unet, layers, rule):
    x, context = question()
    given = Guidance(shares=shares(two(mask())), rule=rule)
    want = answer(unet, layers, given, x, context)
    with record(unet) as maps:
        got = answer(unet, layers, given, x, context)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
    assert len(maps) == len(layers)
    for value in maps.values():
        closed = (shares(two(mask()))[value.shape[2]] == 0).expand_as(value)
        leak = value[closed].max()
        assert leak == 0 if rule == "mask" else leak > 0


@torch.no_grad()
def test_other_processors_are_put_aside_and_adapters_refused(unet):
    unet = copy.deepcopy(unet)
    x, context = question()
    given = Guidance(shares=shares(two(mask())))
    want = answer(unet, cross_layers({"unet": unet}), given, x, context)
    unet.set_attn_processor(AttnProcessor())
    found = cross_layers({"unet": unet})
    torch.testing.assert_close(answer(unet, found, given, x, context), want, atol=1e-5, rtol=1e-4)
    layer = next(iter(found.values()))
    layer.set_processor(IPAdapterAttnProcessor2_0(16, 32, num_tokens=(4,)))
    with pytest.raises(UsageError, match="adapter"), attending(found, given):
        pass
    assert "processor" not in layer.__dict__


def test_an_unknown_rule_is_refused():
    with pytest.raises(UsageError, match="mask, paper or off"):
        Guidance(rule="soft")
