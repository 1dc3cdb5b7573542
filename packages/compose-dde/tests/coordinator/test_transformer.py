import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from compose_core.errors import ShapeError, UsageError
from compose_core.schedule import KarrasVE
from compose_dde.coordinator import (
    CLEVR,
    MAPS,
    MUSIC,
    RNN,
    RNN_OVERLAPS,
    CoordinatorConfig,
    Heard,
    Recurrent,
    Transformer,
)
from compose_dde.coordinator.tokens import patchify, unpatchify
from compose_dde.domain import Domain
from compose_dde.lapped import lapped
from compose_dde.networks import UNet1d
from compose_dde.rope import angles, turn

LINE = CoordinatorConfig(channels=2, axes=1, patch=4, width=16, depth=2, heads=2)
SQUARE = CoordinatorConfig(channels=3, axes=2, patch=2, width=16, depth=2, heads=2)


def trained(config, seed=0):
    """With weights that say something."""
    net = Transformer(config).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return net


def like(net, **changes):
    """The same weights under other numbers."""
    made = Transformer(dataclasses.replace(net.config, **changes)).double()
    made.load_state_dict(net.state_dict())
    return made


@torch.no_grad()
def say(net, domain, x0, x_t=None, **more):
    heard = Heard(x0=x0, x_t=x0 if x_t is None else x_t, level=KarrasVE().level(0.7), **more)
    return net(heard, net.prepare(domain, x0))


def close(a, b, bound=1e-9):
    torch.testing.assert_close(a, b, rtol=bound, atol=bound)


def count(make):
    with torch.device("meta"):
        return sum(p.numel() for p in make().parameters())


@pytest.mark.parametrize("reach", [None, 1])
def test_frequencies_are_samples_turned(reach, draw):
    """Hearing frequencies is hearing samples through a rotation, and answering through it back."""
    net = trained(dataclasses.replace(LINE, space="denoised", reach=reach))
    turned = like(net, lapped=True)
    domain = Domain.chain(40, 16, 8)
    x0 = draw(2, len(domain), 2, 16).double()

    def rotate(x):
        return lapped(x, LINE.patch).flatten(-2)

    close(rotate(say(turned, domain, x0)), say(net, domain, rotate(x0)))


def test_sizes_of_the_paper():
    assert count(lambda: Transformer(MUSIC)) == 66_526_976
    assert count(lambda: Transformer(CLEVR)) == 37_827_504
    assert count(lambda: Transformer(MAPS)) == 26_280_972
    assert round(count(lambda: Recurrent(UNet1d(**RNN), 16)) / 1e6) == 16
    assert round(count(lambda: Recurrent(UNet1d(**RNN_OVERLAPS), 16)) / 1e6) == 50


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_tokens_are_patches_in_reading_order(axes, draw):
    spatial = (4, 6, 8)[:axes]
    x = draw(2, 5, 3, *spatial)
    tokens = patchify(x, 2, axes)
    assert torch.equal(unpatchify(tokens, 2, spatial), x)
    first = x[(..., *[slice(0, 2)] * axes)].flatten(2)
    assert torch.equal(tokens[:, :, 0], first)
    with pytest.raises(ShapeError):
        patchify(x, 5, axes)


@pytest.mark.parametrize("axes", [1, 2])
def test_rotary_attention_depends_on_relative_positions_only(axes, draw):
    q, k = draw(2, 8, dtype=torch.float64)
    place, other, move = (10 * draw(axes, seed=s, dtype=torch.float64) for s in (1, 2, 3))

    def product(at):
        turned = []
        for x, where in ((q, place), (k, other)):
            by = angles(where + at, 8)
            turned.append(turn(x, by.cos(), by.sin()))
        return turned[0] @ turned[1]

    close(product(0), product(move))
    assert abs(float(product(0) - q @ k)) > 1e-3


def test_the_first_half_of_a_head_is_turned_by_the_row(draw):
    x = draw(8)
    for axis, kept in ((0, slice(4, 8)), (1, slice(0, 4))):
        where = torch.zeros(2)
        where[axis] = 1.3
        by = angles(where, 8)
        turned = turn(x, by.cos().float(), by.sin().float())
        assert torch.equal(turned[kept], x[kept])
        assert not torch.allclose(turned, x)


def test_around_a_closed_axis_first_and_last_are_neighbours(draw):
    by = angles(torch.tensor([[0.0], [7.0], [1.0], [8.0]]), 8, [8.0])
    close(by[3].cos(), by[0].cos())
    assert angles(torch.tensor([3.0]), 8, [8.0]).shape == (4,)


@pytest.mark.parametrize(
    ("config", "domain"),
    [
        (LINE, Domain.chain(88, 32, 24)),
        (LINE, Domain.ring(96, 32, 24)),
        (SQUARE, Domain.grid((16, 12), 8, 4)),
        (SQUARE, Domain.conditions((8, 8), 3)),
        (SQUARE, Domain.graph((16, 8), (8, 8), [(0, 0), (5, 0), (8, 0)])),
    ],
    ids=["chain", "ring", "grid", "conditions", "graph"],
)
@pytest.mark.parametrize("space", ["raw", "denoised"])
def test_before_training_nothing_changes(config, domain, space, draw):
    net = Transformer(dataclasses.replace(config, space=space))
    x0 = draw(2, len(domain), config.channels, *domain.window)
    assert torch.equal(say(net, domain, x0, draw(*x0.shape, seed=1)), x0)


def test_an_untrained_recurrent_coordinator_changes_nothing(draw):
    net = Recurrent(UNet1d(6, 8, 2, (1, 2), (2,), (1,), (False,), 2, 4), 4)
    domain = Domain.chain(44, 16, 12)
    x0 = draw(2, len(domain), 2, 16)
    assert torch.equal(say(net, domain, x0, draw(*x0.shape, seed=1)), x0)
    torch.nn.init.constant_(net.gate, 0.5)
    whole = say(net, domain, x0)
    cut = say(net, domain, torch.cat([x0[:, :2], draw(2, len(domain) - 2, 2, 16, seed=2)], 1))
    assert torch.equal(whole[:, :2], cut[:, :2]), "what comes later is not heard"
    close(say(net, domain, x0[:1]), whole[:1], 1e-5)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("space", ["raw", "denoised"])
def test_what_is_said_in_each_space(space, residual, draw):
    net = trained(dataclasses.replace(LINE, space=space, residual=residual, sigma_data=0.3))
    domain = Domain.chain(32, 32, 32)
    x0, x_t = (
        draw(1, 1, 2, 32, dtype=torch.float64),
        draw(1, 1, 2, 32, seed=1, dtype=torch.float64),
    )
    sigma, data = 0.7, 0.3
    skip, out = data**2 / (sigma**2 + data**2), sigma * data / (sigma**2 + data**2) ** 0.5
    raw = (x0 - skip * x_t) / out
    other = like(net, space="denoised", residual=False)
    change = say(other, domain, raw if space == "raw" else x0)
    expected = {
        ("raw", True): x0 + out * change,
        ("raw", False): skip * x_t + out * change,
        ("denoised", True): x0 + change,
        ("denoised", False): change,
    }[space, residual]
    close(say(net, domain, x0, x_t), expected)


def test_conditions_may_come_in_any_order(draw):
    net = trained(SQUARE)
    domain = Domain.conditions((8, 8), 4)
    x0 = draw(2, 4, 3, 8, 8, dtype=torch.float64)
    order = torch.tensor([2, 0, 3, 1])
    close(say(net, domain, x0[:, order]), say(net, domain, x0)[:, order])


def test_an_object_may_be_moved(draw):
    """Parts at other places but the same distances are coordinated alike."""
    net = trained(LINE)
    x0 = draw(1, 3, 2, 32, dtype=torch.float64)
    near = Domain.chain(80, 32, 24)
    far = dataclasses.replace(near, starts=tuple((s + 40,) for (s,) in near.starts))
    close(say(net, far, x0), say(net, near, x0))


@pytest.mark.parametrize("reach", [None, 1])
def test_a_ring_may_be_turned(reach, draw):
    net = trained(dataclasses.replace(LINE, reach=reach))
    domain = Domain.ring(96, 32, 24)
    x0 = draw(1, 4, 2, 32, dtype=torch.float64)
    close(say(net, domain, x0.roll(1, 1)), say(net, domain, x0).roll(1, 1))


def test_a_torus_may_be_turned(draw):
    net = trained(dataclasses.replace(SQUARE, reach=1))
    domain = Domain.torus((16, 20), (8, 8), 4)

    def turned(x):
        return x.unflatten(1, (4, 5)).roll((1, 2), (1, 2)).flatten(1, 2)

    x0 = draw(1, 20, 3, 8, 8, dtype=torch.float64)
    close(say(net, domain, turned(x0)), turned(say(net, domain, x0)))


DOMAINS = {
    "chain": (LINE, Domain.chain(88, 32, 24), {}),
    "long chain": (LINE, Domain.chain(200, 32, 24), {}),
    "grid": (SQUARE, Domain.grid((20, 16), 8, 4), {}),
    "conditions": (SQUARE, Domain.conditions((8, 8), 3), {}),
}


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("reach", [0, 1, 2])
@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_local_attention_is_full_attention_with_a_mask(name, reach, chunk, draw, monkeypatch):
    """The oracle is full attention whose scores are masked outside the reach, in float64."""
    config, domain, _ = DOMAINS[name]
    net = trained(config)
    x0 = draw(2, len(domain), config.channels, *domain.window, dtype=torch.float64)
    local = like(net, reach=reach)
    local.chunk = chunk
    found = say(local, domain, x0)

    near = torch.zeros(len(domain), len(domain), dtype=torch.bool)
    for i, row in enumerate(domain.neighbours()):
        near[i, [one.index for one in row if one.hops <= reach]] = True
    tokens = domain.positions(config.patch).shape[1]
    mask = near.repeat_interleave(tokens, 0).repeat_interleave(tokens, 1)
    original = torch.nn.functional.scaled_dot_product_attention

    def masked(q, k, v):
        return original(q, k, v, attn_mask=mask)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", masked)
    close(found, say(net, domain, x0), 1e-9)


@pytest.mark.parametrize("name", DOMAINS)
def test_everyone_within_reach_is_full_attention(name, draw):
    config, domain, _ = DOMAINS[name]
    net = trained(config)
    x0 = draw(1, len(domain), config.channels, *domain.window, dtype=torch.float64)
    close(say(like(net, reach=len(domain)), domain, x0), say(net, domain, x0))
    single = x0.float(), like(net, reach=len(domain)).float(), trained(config).float()
    close(say(single[1], domain, single[0]), say(single[2], domain, single[0]), 1e-5)


@pytest.mark.parametrize("name", ["chain", "grid"])
@pytest.mark.parametrize("reach", [0, 1])
def test_summaries_of_single_tokens_leave_nothing_out(name, reach, draw):
    config, domain, _ = DOMAINS[name]
    net = trained(config)
    tokens = domain.positions(config.patch).shape[1]
    x0 = draw(1, len(domain), config.channels, *domain.window, dtype=torch.float64)
    close(say(like(net, reach=reach, summaries=tokens), domain, x0), say(net, domain, x0))


def test_windows_of_a_graph_hear_each_other_as_in_a_chain(draw):
    net = trained(dataclasses.replace(LINE, reach=1, summaries=2))
    starts = [(0,), (16,), (32,)]
    x0 = draw(1, 3, 2, 16, dtype=torch.float64)
    chain = say(net, Domain.chain(48, 16, 16), x0)
    close(say(net, Domain.graph((48,), (16,), starts), x0), chain)
    close(
        say(like(net, summaries=4), Domain.graph((48,), (16,), starts, []), x0),
        say(like(net, reach=None, summaries=0), Domain.chain(48, 16, 16), x0),
    )


def test_summaries_are_heard_from_afar(draw):
    domain = Domain.chain(200, 32, 24)
    net = trained(dataclasses.replace(LINE, reach=0, summaries=2))
    x0 = draw(1, len(domain), 2, 32, dtype=torch.float64)
    other = x0.clone()
    other[:, -1] += 1
    assert not torch.allclose(say(net, domain, x0)[:, 0], say(net, domain, other)[:, 0])
    deaf = like(net, summaries=0)
    assert torch.equal(say(deaf, domain, x0)[:, 0], say(deaf, domain, other)[:, 0])
    with pytest.raises(ShapeError, match="summarised evenly"):
        say(like(net, summaries=3), domain, x0)


@pytest.mark.parametrize("reach", [None, 1])
@pytest.mark.parametrize("chunk", [None, 2])
def test_the_context_is_heard_and_has_weights_of_its_own(reach, chunk, draw):
    config = dataclasses.replace(SQUARE, context=3, context_patch=4, second="mlp", reach=reach)
    net, domain = trained(config), Domain.grid((16, 12), 8, 4)
    net.chunk = chunk
    x0 = draw(2, len(domain), 3, 8, 8, dtype=torch.float64)
    chart = draw(1, 3, 16, 12, seed=1, dtype=torch.float64)
    one = say(net, domain, x0, context=chart)
    close(one, say(net, domain, x0, context=chart.expand(2, -1, -1, -1)))
    assert not torch.allclose(one, say(net, domain, x0, context=chart + 1))
    net.blocks[0].context_mlp[0].weight.data.add_(1)
    assert not torch.allclose(one, say(net, domain, x0, context=chart))
    with pytest.raises(ShapeError, match="hears something else"):
        say(net, domain, x0)


def test_context_tokens_lie_in_the_middle_of_what_they_show():
    config = dataclasses.replace(SQUARE, context=3, context_patch=4)
    found = Transformer(config)._context_positions(Domain.grid((16, 12), 8, 4))
    assert found.shape == (12, 2)
    # Cells 0 to 3 are tokens 0 and 1 of the object.
    assert found[0].tolist() == [0.5, 0.5] and found[1].tolist() == [0.5, 2.5]


def test_samples_without_conditions_are_modulated_in_their_own_way(draw):
    net = trained(dataclasses.replace(SQUARE, second="modulation"))
    domain = Domain.conditions((8, 8), 2)
    x0 = draw(2, 2, 3, 8, 8, dtype=torch.float64)
    plain, absent = say(net, domain, x0), say(net, domain, x0, null=torch.tensor([True]))
    mixed = say(net, domain, x0, null=torch.tensor([False, True]))
    assert not torch.allclose(plain, absent)
    close(mixed[:1], plain[:1])
    close(mixed[1:], absent[1:])


def test_pieces_bound_the_work_and_not_the_result(draw):
    net, domain = (
        trained(dataclasses.replace(LINE, reach=1, summaries=2)),
        Domain.chain(200, 32, 24),
    )
    x0 = draw(2, len(domain), 2, 32, dtype=torch.float64)
    whole = say(net, domain, x0)
    for chunk in (1, 2, 3, 50):
        net.chunk = chunk
        close(say(net, domain, x0), whole)
    with torch.enable_grad():
        heard = Heard(x0=x0, x_t=x0, level=KarrasVE().level(0.7))
        close(net(heard, net.prepare(domain, x0)).detach(), whole)


def flops(config, windows):
    """Of one pass, without computing it."""
    domain = Domain.chain(32 + (windows - 1) * 24, 32, 24)
    with torch.device("meta"):
        net = Transformer(config)
    x = torch.empty(1, windows, config.channels, 32, device="meta")
    level = KarrasVE().level(1.0)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        try:
            net(Heard(x0=x, x_t=x, level=level), net.prepare(domain, x))
        except NotImplementedError:
            pytest.skip("this torch has no such kernel on the meta device")
    return counter.get_total_flops()


def test_local_attention_is_ten_times_cheaper_at_a_hundred_windows():
    """Sizes in the proportion of the paper's music: attention is most of the work."""
    config = dataclasses.replace(LINE, patch=1, depth=1)
    local = dataclasses.replace(config, reach=1, summaries=1)
    assert flops(config, 100) > 10 * flops(local, 100)
    near = dataclasses.replace(config, reach=1)
    growth = flops(near, 200) / flops(near, 13)
    assert growth <= (200 / 13) ** 1.1


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": 3},
        {"space": "other"},
        {"second": "mlp"},
        {"summaries": 2},
        {"reach": -1},
        {"depth": 0},
        {"axes": 3},
        {"lapped": True, "axes": 2},
        {"lapped": True, "patch": 3},
        {"lapped": True, "maps": 1},
    ],
)
def test_impossible_numbers_are_refused(changes):
    with pytest.raises(UsageError):
        dataclasses.replace(LINE, **changes)


def test_another_kind_of_object_is_refused(draw):
    with pytest.raises(ShapeError, match="another kind"):
        Transformer(LINE).prepare(Domain.conditions((8, 8), 2), draw(1))
