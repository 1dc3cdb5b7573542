"""What the tests of this package share."""

import pytest
import torch

from compose_core.testing.devices import device  # noqa: F401 (a fixture)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    from compose_core.testing.folders import tiny_controlnet, tiny_stable_diffusion

    home = tmp_path_factory.mktemp("models")
    return {
        "base": tiny_stable_diffusion(home / "base"),
        "control": tiny_controlnet(home / "control"),
    }


@pytest.fixture(scope="session")
def model(folders):
    from compose_core.backbones import load_model

    return load_model(folders["base"])


@pytest.fixture
def draw():
    """Noise in double precision; the same for the same shape and seed."""

    def make(*shape, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return make
