"""What the tests of this package share."""

import copy

import pytest
import torch

from compose_core.backbones import load_model
from compose_core.testing.devices import device  # noqa: F401 (a fixture)
from compose_core.testing.folders import tiny_stable_diffusion
from compose_realcompo.testing import tiny_gated


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("models")
    first = tiny_stable_diffusion(home / "first", seed=0)
    second = tiny_stable_diffusion(home / "second", seed=1)
    return {"first": first, "second": second, "gated": tiny_gated(home / "gated", second)}


@pytest.fixture(scope="session")
def models(folders):
    return [load_model(folders["first"]), load_model(folders["second"])]


@pytest.fixture(scope="session")
def doubles(models):
    """Both networks in double precision, where derivatives can be compared."""
    return [copy.deepcopy(model.network).double() for model in models]


@pytest.fixture
def x_t():
    return torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(3))
