"""What the tests of this package share."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from compose_cnc.folder import load_adapter
from compose_cnc.model import GlobalFuser, LocalFuser
from compose_cnc.network import CnCNetwork
from compose_cnc.testing import EMBEDDING, SIZES, TOKENS, awake, draw, tiny_adapter
from compose_core.backbones import load_model
from compose_core.encoded import Encoded
from compose_core.scene import Assets, build
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


@pytest.fixture(scope="session")
def adapter_folder(tmp_path_factory, unet):
    return tiny_adapter(tmp_path_factory.mktemp("adapter"), unet)


@pytest.fixture(scope="session")
def adapter(adapter_folder):
    return load_adapter(adapter_folder)


def png(values):
    """Numbers in [0, 1] as the bytes of a picture: (H, W) grey, (H, W, 3) in colour."""
    pixels = (np.asarray(values) * 255).round().astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def picture(seed=0, size=24):
    return np.random.default_rng(seed).random((size, size, 3)).astype(np.float32)


DISTANCE = ((np.indices((64, 64)) - 32) ** 2).sum(0)
FILES = {
    "disc": 0.2 + 0.8 * (DISTANCE < 200).astype(np.float32),
    "ground": np.repeat(np.linspace(0, 1, 64, dtype=np.float32)[:, None], 64, 1),
    "mask": (DISTANCE < 220).astype(np.float32),
    "left": np.repeat((np.arange(64) < 24).astype(np.float32)[None], 64, 0),
    "lava": picture(1),
    "snow": picture(2),
    "moss": picture(3, 40),
}
"""Pictures of 64 x 64 that scenes name, and exemplars."""


@pytest.fixture(scope="session")
def scene():
    """Make a scene of layers, each a dict of keys; files are those of `FILES`, or given."""

    def make(*layers, files=None, **more):
        named = {name: png(values) for name, values in {**FILES, **(files or {})}.items()}
        given = [{"name": str(i), **layer} for i, layer in enumerate(layers)]
        text = {"version": 1, "canvas": (64, 64), "prompt": "toys", "layers": given, **more}
        return build(text).with_assets(Assets(named))

    return make
