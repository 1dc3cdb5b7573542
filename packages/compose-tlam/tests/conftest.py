"""What the tests of this package share."""

import pytest
import torch

from compose_core.testing.devices import device  # noqa: F401 (a fixture)
from compose_tlam.testing import random_stack


@pytest.fixture
def dice():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def draw():
    """A stack of noise; the same for the same shape and seed."""

    def make(*shape, seed=0, **options):
        return random_stack(shape, torch.Generator().manual_seed(seed), **options)

    return make
