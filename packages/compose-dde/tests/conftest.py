"""What the tests of this package share."""

import pytest
import torch

from compose_core.testing.devices import device  # noqa: F401 (a fixture)


@pytest.fixture
def draw():
    """Noise; the same for the same shape and seed."""

    def make(*shape, seed=0, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(shape, generator=generator, dtype=dtype)

    return make
