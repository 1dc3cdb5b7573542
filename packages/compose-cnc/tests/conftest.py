"""What the tests of this package share."""

import pytest
import torch

from compose_cnc.model import GlobalFuser, LocalFuser
from compose_cnc.network import CnCNetwork
from compose_cnc.testing import EMBEDDING, SIZES, TOKENS, awake, draw
from compose_core.backbones import load_model
from compose_core.encoded import Encoded
from compose_core.testing.devices import device  # noqa: F401 (a fixture)
from compose_core.testing.folders import TEXT_WIDTH, tiny_stable_diffusion


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory):
    return tiny_stable_diffusion(tmp_path_factory.mktemp("sd"), seed=0)


@pytest.fixture(scope="session")
def base(base_folder):
    return load_model(base_folder)


@pytest.fixture(scope="session")
def unet(base):
    return base.network.unet


@pytest.fixture
def fuser(unet):
    return LocalFuser.from_unet(unet, SIZES).eval()


@pytest.fixture
def network(base, unet, fuser):
    tokens = GlobalFuser.fresh(EMBEDDING, TEXT_WIDTH, TOKENS).eval()
    return CnCNetwork(
        unet, base.schedule, "epsilon", local_fuser=awake(fuser), global_fuser=tokens
    )


@pytest.fixture
def conditions(network):
    """Everything at once: pictures of 64 x 64, two regions, one sample."""
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:50, 12:40] = 1
    tokens = [network.tokens(draw(1, EMBEDDING, seed=i), s) for i, s in enumerate(("fg", "bg"))]
    return Encoded(
        text=draw(1, 7, TEXT_WIDTH),
        depth_fg=draw(1, 3, 64, 64, seed=1, uniform=True),
        depth_bg=draw(1, 3, 64, 64, seed=2, uniform=True),
        tokens=torch.cat(tokens, 1).detach(),
        region=torch.cat([mask, torch.ones_like(mask)], 1),
    )
