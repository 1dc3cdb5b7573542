"""Balances side by side: they look ahead together, and nothing is asked twice."""

import pytest
import torch

from compose_benchmarks.lockstep import Lockstep
from compose_benchmarks.runner.generate import Counting
from compose_core.backbones import load_model
from compose_core.sampler import DDIM
from compose_core.testing.folders import tiny_stable_diffusion
from compose_realcompo.balancer import Balancer
from compose_realcompo.options import Options
from compose_realcompo.testing import branches

STEPS = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    home = tmp_path_factory.mktemp("models")
    return [load_model(tiny_stable_diffusion(home / str(i), seed=i)) for i in range(2)]


@pytest.fixture
def asked(models):
    """Rows of every call of either network, as they come."""
    rows = []
    hooks = [
        model.network.unet.conv_in.register_forward_hook(lambda _, __, out: rows.append(len(out)))
        for model in models
    ]
    yield rows
    for hook in hooks:
        hook.remove()


def walk(models, seeds, most=64):
    """Samples (B, 4, 16, 16) of as many balances, side by side where there are several."""
    made = [Balancer(branches(models, scale=3.0), Options(start=0.0)) for _ in seeds]
    sampler = DDIM(models[0].schedule.levels(STEPS))
    dice = [torch.Generator().manual_seed(seed) for seed in seeds]
    x_t = sampler.initial((len(seeds), 4, 16, 16), dice)
    denoiser = made[0] if len(made) == 1 else Lockstep(made)
    with torch.no_grad():
        return sampler.sample(denoiser, x_t, generator=dice, evaluator=Counting(most))


def test_a_balance_asks_no_more_beside_another(models, asked):
    alone = [walk(models, [seed]) for seed in (0, 1)]
    rows = sum(asked)
    asked.clear()
    together = walk(models, [0, 1])
    assert sum(asked) == rows
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-3)


def test_look_ahead_keeps_to_the_most_rows_of_a_call(models, asked):
    free = walk(models, [0, 1])
    assert max(asked) > 3
    rows = sum(asked)
    asked.clear()
    torch.testing.assert_close(walk(models, [0, 1], most=3), free, rtol=1e-3, atol=1e-3)
    assert max(asked) == 3
    assert sum(asked) == rows
