"""Noise comes from the generators that were given, and from nothing else."""

import pytest
import torch

from compose_core.errors import ShapeError, UsageError
from compose_core.noise import normal, normal_like
from compose_core.testing.devices import require


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_it_is_standard_normal():
    x = normal((4, 50_000), seeded(0), dtype=torch.float64)
    assert abs(float(x.mean())) < 0.01 and abs(float(x.var()) - 1) < 0.02


def test_same_seed_same_bytes_and_no_hidden_generator():
    before = torch.random.get_rng_state()
    assert torch.equal(normal((2, 3), seeded(1)), normal((2, 3), seeded(1)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_one_generator_per_sample_forgets_the_batch():
    together = normal((3, 4, 5), [seeded(i) for i in range(3)])
    for i in range(3):
        assert torch.equal(together[i : i + 1], normal((1, 4, 5), [seeded(i)]))
        assert torch.equal(together[i : i + 1], normal((1, 4, 5), seeded(i)))


def test_half_precision_is_rounded_from_float():
    wide = normal((2, 8), seeded(3))
    assert torch.equal(normal((2, 8), seeded(3), dtype=torch.float16), wide.half())


@pytest.mark.parametrize("name", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_noise_is_drawn_where_the_generator_lives(name: str):
    device = require(name)
    x = normal_like(torch.zeros(2, 3, device=device, dtype=torch.float64), seeded(4))
    assert x.device.type == device.type and x.dtype == torch.float64
    assert torch.equal(x.cpu(), normal((2, 3), seeded(4), dtype=torch.float64))


def test_missing_generators_are_refused():
    with pytest.raises(UsageError, match="generator"):
        normal((2, 3), None)
    with pytest.raises(ShapeError, match="one generator per sample"):
        normal((2, 3), [seeded(0)])
