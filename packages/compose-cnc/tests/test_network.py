"""The whole network: what it hears, what it does not, and that preparing changes nothing."""

import copy
import math

import pytest
import torch

from compose_cnc.model import GlobalFuser, LocalFuser
from compose_cnc.network import CnCNetwork
from compose_cnc.prepare import is_prepared
from compose_cnc.testing import EMBEDDING, SIZES, draw
from compose_core.backbones import UNetNetwork
from compose_core.denoiser import Bound, Guided
from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError
from compose_core.evaluate import Local

SPATIAL = (16, 16)


@pytest.fixture
def plain(base, unet):
    return UNetNetwork(unet, base.schedule, "epsilon")


@pytest.fixture
def level(base):
    return base.schedule.level(500.0)


@pytest.fixture
def x_t():
    return draw(1, 4, 16, 16, seed=7)


def without(encoded, *names):
    return Encoded({k: v for k, v in encoded.items() if k not in names})


@torch.no_grad()
def test_without_depth_and_tokens_it_is_the_unet(network, plain, conditions, x_t, level):
    only = without(conditions, "depth_fg", "depth_bg", "tokens", "region")
    want = plain(x_t, level, only).x0
    assert torch.equal(network(x_t, level, only).x0, want)
    assert torch.equal(network(x_t, level, network.prepare(only, SPATIAL)).x0, want)


@torch.no_grad()
def test_an_untrained_local_fuser_is_the_unet(base, unet, plain, conditions, x_t, level):
    untrained = CnCNetwork(
        unet, base.schedule, "epsilon", local_fuser=LocalFuser.from_unet(unet, SIZES)
    )
    depth = without(conditions, "tokens", "region")
    assert torch.equal(untrained(x_t, level, depth).x0, plain(x_t, level, depth).x0)


@torch.no_grad()
def test_without_depth_the_clone_does_not_run(network, conditions, x_t, level, monkeypatch):
    monkeypatch.setattr(network.local_fuser, "forward", None)
    monkeypatch.setattr(network.local_fuser, "features", None)
    network(x_t, level, without(conditions, "depth_fg", "depth_bg"))


@torch.no_grad()
@pytest.mark.parametrize("name", ["text", "depth_fg", "depth_bg", "tokens", "region"])
def test_everything_is_heard(network, conditions, x_t, level, name):
    other = conditions[name].flip(1) if name == "region" else conditions[name] * 0.5
    changed = Encoded({**conditions, name: other})
    apart = network(x_t, level, changed).x0 - network(x_t, level, conditions).x0
    assert apart.abs().max() > 1e-5


@torch.no_grad()
def test_one_missing_depth_is_zeros(network, conditions, x_t, level):
    alone = without(conditions, "depth_bg")
    zeros = Encoded({**conditions, "depth_bg": torch.zeros_like(conditions["depth_bg"])})
    assert torch.equal(network(x_t, level, alone).x0, network(x_t, level, zeros).x0)


@torch.no_grad()
@pytest.mark.parametrize("rule", ["mask", "paper", "off"])
@pytest.mark.parametrize("resize", ["official", "area", "nearest"])
def test_prepared_conditions_give_the_same_answer(network, conditions, x_t, level, rule, resize):
    network.soft_guidance, network.resize = rule, resize
    for dropped in ((), ("depth_fg", "depth_bg"), ("tokens", "region"), ("depth_fg",)):
        given = without(conditions, *dropped)
        prepared = network.prepare(given, SPATIAL)
        assert is_prepared(prepared) and not {"depth_fg", "tokens", "region"} & set(prepared)
        want, got = (network(x_t, level, e).x0 for e in (given, prepared))
        torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-6)
    assert network.prepare(prepared, SPATIAL) is prepared


@torch.no_grad()
def test_prepared_conditions_join_and_split_like_others(network, conditions, level):
    """Guidance is one call of two rows; so are samples with conditions of their own."""
    negative = Encoded({**conditions, "text": draw(1, 7, 32, seed=4)})
    ready = network.prepare_all([conditions, negative], SPATIAL)
    x_t = draw(3, 4, 16, 16, seed=3)
    calls = []
    hook = network.unet.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    made = {}
    for name, (c, u) in {"raw": (conditions, negative), "ready": ready}.items():
        denoiser = Guided(Bound(network, c), Bound(network, u), 5.0)
        for rows in (None, 2):
            made[name, rows] = denoiser(x_t, level, evaluator=Local(max_batch=rows)).x0
    hook.remove()
    assert calls == [6, 2, 2, 2] * 2
    for value in made.values():
        torch.testing.assert_close(value, made["raw", None], atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_samples_of_a_batch_have_conditions_of_their_own(network, conditions, level):
    other = Encoded({name: value.flip(-1) for name, value in conditions.items()})
    both, x_t = Encoded.cat([conditions, other]), draw(2, 4, 16, 16, seed=3)
    got = network(x_t, level, both).x0
    for i, alone in enumerate((conditions, other)):
        want = network(x_t[i : i + 1], level, alone).x0
        torch.testing.assert_close(got[i : i + 1], want, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_what_two_sides_of_guidance_share_is_computed_once(network, conditions, monkeypatch):
    calls = []
    features = network.local_fuser.features
    monkeypatch.setattr(
        network.local_fuser, "features", lambda *a: calls.append(1) or features(*a)
    )
    negative = Encoded({**conditions, "text": draw(1, 7, 32, seed=4)})
    one, two = network.prepare_all([conditions, negative], SPATIAL)
    assert len(calls) == 1
    name = "cnc.modulation.0.norm_in.gamma"
    assert one[name] is two[name] and one["cnc.region.0"] is two["cnc.region.0"]
    key = next(name for name in one if name.startswith("cnc.key."))
    assert not torch.equal(one[key], two[key])


@torch.no_grad()
def test_strength_scales_what_the_clone_adds(network, conditions, plain, x_t, level):
    depth = without(conditions, "tokens", "region")
    full, off = network(x_t, level, depth).x0, plain(x_t, level, depth).x0
    maps = torch.ones(1, 1, 64, 64)
    for strength, want in ((torch.ones(1), full), (maps, full), (maps * 0, off)):
        got = network(x_t, level, Encoded({**depth, "strength": strength})).x0
        assert torch.equal(got, want)
    halves = torch.cat([maps[..., :32], maps[..., 32:] * 0], -1)
    half = network(x_t, level, Encoded({**depth, "strength": halves})).x0
    assert not torch.equal(half, full) and not torch.equal(half, off)


@torch.no_grad()
def test_strength_keeps_to_its_place(network, conditions):
    """A residual under a map of zeros and ones is the full one, or nothing."""
    depth = without(conditions, "tokens", "region")
    x, t = draw(1, 4, 16, 16), torch.tensor(300)
    fuser = network.local_fuser
    given = fuser(x, t, depth["text"], fuser.features(depth["depth_fg"], depth["depth_bg"]))
    halves = torch.ones(1, 1, 64, 64)
    halves[..., 32:] = 0
    scaled = network._residuals(
        x,
        t,
        depth["text"],
        fuser.features(depth["depth_fg"], depth["depth_bg"]),
        Encoded({**depth, "strength": halves}),
    )
    first = scaled["down_block_additional_residuals"][0]
    assert torch.equal(first[..., :8], given.down[0][..., :8]) and not first[..., 8:].any()


@torch.no_grad()
def test_more_than_two_regions(network, level):
    masks = torch.zeros(1, 4, 64, 64)
    for i in range(3):
        masks[:, i, :, 16 * i : 16 * i + 24] = 0.7
    masks[:, 3] = 1
    streams = ("fg", "fg", "fg", "bg")
    tokens = [network.tokens(draw(1, EMBEDDING, seed=i), s) for i, s in enumerate(streams)]
    network.resize = "area"
    given = Encoded(text=draw(1, 7, 32), tokens=torch.cat(tokens, 1), region=masks)
    x_t = draw(1, 4, 16, 16, seed=7)
    want = network(x_t, level, given).x0
    torch.testing.assert_close(network(x_t, level, network.prepare(given, SPATIAL)).x0, want)


@torch.no_grad()
def test_other_proportions(network, level):
    given = Encoded(
        text=draw(1, 7, 32),
        depth_fg=draw(1, 3, 40, 104, uniform=True),
        tokens=torch.cat([network.tokens(draw(1, EMBEDDING), s) for s in ("fg", "bg")], 1),
        region=torch.ones(1, 2, 40, 104),
    )
    x_t = draw(1, 4, 10, 26, seed=7)
    want = network(x_t, level, given).x0
    torch.testing.assert_close(network(x_t, level, network.prepare(given, (10, 26))).x0, want)


@torch.no_grad()
def test_lambda_multiplies_tokens_and_zero_is_not_off(network, conditions, x_t, level):
    embedding = draw(2, EMBEDDING)
    full = network.tokens(embedding, "fg")
    torch.testing.assert_close(network.tokens(embedding, "fg", 0.5), 0.5 * full)
    each = network.tokens(embedding, "fg", torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(each, torch.stack([2 * full[0], 0 * full[1]]))
    zeros = Encoded({**conditions, "tokens": 0 * conditions["tokens"]})
    off = without(conditions, "tokens", "region")
    assert (network(x_t, level, zeros).x0 - network(x_t, level, off).x0).abs().max() > 1e-5


def test_gradients_reach_tokens_and_fuser_through_a_frozen_unet(network, conditions, x_t, level):
    network.unet.requires_grad_(False)
    tokens = [network.tokens(draw(1, EMBEDDING, seed=i), s) for i, s in enumerate(("fg", "bg"))]
    given = Encoded({**conditions, "tokens": torch.cat(tokens, 1)})
    network(x_t, level, given).x0.square().mean().backward()
    fuser = network.local_fuser
    trained = [*network.global_fuser.parameters(), *fuser.streams.parameters()]
    network.unet.requires_grad_(True)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    assert any(p.grad.any() for p in trained)
    fuser.enable_gradient_checkpointing()
    with pytest.raises(UsageError, match="gradient checkpointing"):
        network(x_t, level, given)


def test_conditions_that_do_not_fit_are_named(network, conditions, x_t, level):
    def refused(error, match, **changes):
        given = {k: v for k, v in {**conditions, **changes}.items() if v is not None}
        for ask in (
            lambda e: network(x_t, level, e),
            lambda e: (
                network.prepare(e, SPATIAL) and network(x_t, level, network.prepare(e, SPATIAL))
            ),
        ):
            with pytest.raises(error, match=match), torch.no_grad():
                ask(Encoded(given))

    refused(UsageError, "text embedding", text=None)
    refused(UsageError, "no regions for them", region=None)
    refused(ShapeError, r"\(B, 3, 64, 64\)", depth_fg=torch.zeros(1, 3, 32, 32))
    refused(ShapeError, r"\(B, 3, 64, 64\)", depth_bg=torch.zeros(1, 1, 64, 64))
    refused(ShapeError, r"\(B, K N, 32\)", tokens=torch.zeros(1, 4, 8))
    refused(ShapeError, "do not share the tokens out", tokens=torch.zeros(1, 5, 32))
    refused(ShapeError, "proportions", region=torch.ones(1, 2, 64, 32))
    refused(ShapeError, r"\(B,\) or \(B, 1, H, W\)", strength=torch.ones(1, 2))


def test_values_are_checked_where_it_is_done_once(network, conditions):
    for name in ("depth_fg", "region"):
        for value in (math.nan, 2.0, -1.0):
            bad = Encoded({**conditions, name: torch.full_like(conditions[name], value)})
            with pytest.raises(ShapeError, match="values from"):
                network.prepare(bad, SPATIAL)


@torch.no_grad()
def test_conditions_prepared_for_another_size_are_refused(network, conditions, level):
    ready = network.prepare(conditions, SPATIAL)
    for drop in ((), [name for name in ready if "modulation" in name]):
        with pytest.raises(ShapeError, match="another size"):
            network(draw(1, 4, 8, 8), level, without(ready, *drop))


def test_parts_that_do_not_fit_or_miss_are_named(base, unet, network, conditions, x_t, level):
    bare = CnCNetwork(unet, base.schedule, "epsilon")
    with pytest.raises(UsageError, match="no local fuser"):
        bare(x_t, level, conditions)
    with pytest.raises(UsageError, match="no global fuser"):
        bare.tokens(torch.zeros(1, EMBEDDING), "fg")
    with pytest.raises(ShapeError, match="global fuser of width 16"):
        CnCNetwork(unet, base.schedule, "epsilon", global_fuser=GlobalFuser.fresh(4, 16))
    with pytest.raises(UsageError, match="v_prediction"):
        CnCNetwork(unet, base.schedule, "noise")


@torch.no_grad()
def test_it_answers_the_same_wherever_it_is(network, conditions, x_t, level, device):
    want = network(x_t, level, network.prepare(conditions, SPATIAL)).x0
    moved = copy.deepcopy(network).to(device)
    given = moved.prepare(conditions.to(device), SPATIAL)
    got = moved(x_t.to(device), level, given).x0
    assert got.device.type == device.type
    torch.testing.assert_close(got.cpu(), want, atol=1e-2, rtol=1e-3)


@torch.no_grad()
def test_half_precision(network, conditions, x_t, level):
    half = copy.deepcopy(network).to(torch.bfloat16)
    want = network(x_t, level, conditions).x0
    got = half(x_t, level, half.prepare(conditions, SPATIAL)).x0
    assert got.dtype == x_t.dtype
    assert (got - want).norm() < 0.1 * want.norm()
