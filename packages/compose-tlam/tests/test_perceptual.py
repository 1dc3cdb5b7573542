"""VGG19 from a file of the user's: five maps, gradients to the picture, bad files refused."""

import pytest
import torch
from safetensors.torch import save_file

from compose_core.errors import WeightsError
from compose_tlam.losses import perceptual
from compose_tlam.perceptual import VGG19

torchvision = pytest.importorskip("torchvision")

WIDTHS = (64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512)
PLACES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    generator = torch.Generator().manual_seed(0)
    state, inside = {}, 3
    for place, outside in zip(PLACES, WIDTHS, strict=True):
        scale = (2 / (9 * inside)) ** 0.5
        state[f"features.{place}.weight"] = scale * torch.randn(
            outside, inside, 3, 3, generator=generator
        )
        state[f"features.{place}.bias"] = torch.zeros(outside)
        inside = outside
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    save_file(state, path)
    return path


def test_five_sizes_of_features_and_a_gradient(weights):
    trunk = VGG19(weights)
    fake = torch.full((1, 3, 32, 32), 0.1, requires_grad=True)
    real = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    maps = trunk(real)
    assert [m.shape[1] for m in maps] == [64, 128, 256, 512, 512]
    assert [m.shape[-1] for m in maps] == [32, 16, 8, 4, 2]
    assert all(float(m.min()) >= 0 for m in maps)
    perceptual(trunk, fake, real).backward()
    assert bool(fake.grad.any()) and float(perceptual(trunk, real, real)) == 0
    assert not torch.equal(VGG19(weights, normalised=True)(real)[0], maps[0])


def test_other_files_are_refused(tmp_path):
    with pytest.raises(WeightsError):
        VGG19(tmp_path / "gone.safetensors")
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="features.0.weight"):
        VGG19(tmp_path / "other.safetensors")
