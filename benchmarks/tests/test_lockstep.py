"""Scenes of different structure share network calls, and each gets the picture it gets alone."""

import pytest
import torch

from compose_benchmarks.lockstep import Lockstep
from compose_core.compose import Consensus, Regional
from compose_core.denoiser import Bound, Guided, Step
from compose_core.errors import ShapeError, UsageError
from compose_core.evaluate import Local
from compose_core.regional import Bootstrapped
from compose_core.sampler import DDIM, Heun
from compose_core.testing.models import TinyNetwork, tiny_parts, tiny_text
from compose_core.trace import collect
from compose_core.views import cover

SHAPE = (4, 8, 8)


def scenes(network):
    """A leaf, a guided leaf, regions that draw backgrounds, and windows: four different trees."""
    a, b, c = tiny_parts(3, network)
    none = Bound(network, tiny_text(99))
    masks = torch.zeros(2, 8, 8)
    masks[0, :, :5] = 1
    masks[1, :, 5:] = 1
    colours = torch.randn((5, 4), generator=torch.Generator().manual_seed(3))
    booted = Bootstrapped(Guided(b, none, 3.0), masks[1], colours, 0.6)
    return [
        a,
        Guided(a, none, 4.0),
        Regional([Guided(c, none, 2.0), booted], masks),
        Consensus(Guided(c, none, 2.0), cover((8, 8), 5, 3), "hann"),
    ]


def walk(denoisers, seeds, sampler):
    dice = [torch.Generator().manual_seed(seed) for seed in seeds]
    x_t = sampler.initial((len(seeds), *SHAPE), dice, dtype=torch.float64)
    denoiser = denoisers[0] if len(denoisers) == 1 else Lockstep(denoisers)
    return sampler.sample(denoiser, x_t, generator=dice)


@pytest.mark.parametrize(
    "make", [lambda s: DDIM(s.levels(6), eta=1.0), lambda s: Heun(s.levels(4))]
)
def test_each_scene_walks_as_if_alone(make):
    network = TinyNetwork(dtype=torch.float64)
    sampler = make(network.schedule)
    parts = scenes(network)
    alone = torch.cat([walk([part], [i], sampler) for i, part in enumerate(parts)])
    together = walk(parts, range(len(parts)), sampler)
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
    again = walk(parts[::-1], range(len(parts))[::-1], sampler)
    torch.testing.assert_close(again.flip(0), alone, rtol=1e-9, atol=1e-9)


def test_scenes_share_calls():
    network = TinyNetwork(dtype=torch.float64)
    sampler = DDIM(network.schedule.levels(5))
    parts = scenes(network)[:3]
    walk(parts, range(3), sampler)
    assert len(network.rows) == 5  # one call for each step, whatever the trees


def test_levels_of_each_sample_reach_their_parts():
    network = TinyNetwork(dtype=torch.float64)
    a, b = tiny_parts(2, network)
    level = network.schedule.level(torch.tensor([9.0, 400.0, 900.0]))
    x_t = torch.randn((3, *SHAPE), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = Lockstep([a, b], rows=[2, 1])(x_t, level).x0
    first = a(x_t[:2], network.schedule.level(torch.tensor([9.0, 400.0]))).x0
    second = b(x_t[2:], network.schedule.level(torch.tensor([900.0]))).x0
    torch.testing.assert_close(found, torch.cat([first, second]))


def test_the_split_of_calls_does_not_matter():
    network = TinyNetwork(dtype=torch.float64)
    both = Lockstep(tiny_parts(2, network))
    x_t = torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    level = network.schedule.level(torch.tensor(500.0))
    state = both.init(x_t)
    whole, split = (both(x_t, level, state, Local(most)).x0 for most in (None, 1))
    torch.testing.assert_close(whole, split)


def test_a_trace_shows_of_each_scene_what_it_shows_alone():
    network = TinyNetwork(dtype=torch.float64)
    parts = scenes(network)
    levels = network.schedule.levels(4)

    def shown(denoiser, seeds):
        dice = [torch.Generator().manual_seed(seed) for seed in seeds]
        x_t = torch.cat([torch.randn((1, *SHAPE), generator=one).double() for one in dice])
        state = denoiser.init(x_t, dice)
        step = Step(now=levels[0], next=levels[1], index=0, total=4, generator=dice)
        return collect(denoiser, denoiser.adapt(state, x_t, step))

    together = shown(Lockstep(parts), range(len(parts)))
    alone = {f"{i}.{k}": v for i, one in enumerate(parts) for k, v in shown(one, [i]).items()}
    assert any("ground" in name for name in alone)
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value)


def test_the_parts_are_named_by_their_position():
    parts = tiny_parts(2)
    both = Lockstep(parts, rows=[2, 1])
    inner = list(both.inner(both.init(torch.zeros(3, *SHAPE, dtype=torch.float64))))
    assert [(name, part) for name, part, _ in inner] == [("0", parts[0]), ("1", parts[1])]


def test_wrong_batches_are_refused():
    parts = tiny_parts(2)
    with pytest.raises(UsageError, match="rows of its own"):
        Lockstep([])
    with pytest.raises(UsageError, match="rows of its own"):
        Lockstep(parts, rows=[1, 0])
    both = Lockstep(parts)
    with pytest.raises(ShapeError, match="batch"):
        both.init(torch.zeros(3, *SHAPE))
    with pytest.raises(UsageError, match="generators of their own"):
        both.init(torch.zeros(2, *SHAPE), torch.Generator())
    with pytest.raises(ShapeError, match="per row"):
        both.init(torch.zeros(2, *SHAPE), [torch.Generator()])
