"""Feature denormalisation against its formula, and the residual block against diffusers'."""

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from compose_cnc.model import FDN, LocalResnet, Modulation


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        yield


@torch.no_grad()
def test_the_formula():
    fdn = FDN(8, 3, groups=2, eps=1e-5)
    x, feature = torch.randn(2, 8, 5, 4), torch.randn(2, 3, 5, 4)
    given = fdn.coefficients(feature)
    groups = x.reshape(2, 2, -1)
    mean, var = groups.mean(-1, keepdim=True), groups.var(-1, unbiased=False, keepdim=True)
    normal = ((groups - mean) / (var + 1e-5).sqrt()).reshape(x.shape)
    want = normal * (1 + given.gamma) + given.beta
    torch.testing.assert_close(fdn(x, given), want)
    torch.testing.assert_close(given.gamma, fdn.gamma(feature))


def block(before=8, after=12):
    made = ResnetBlock2D(
        in_channels=before, out_channels=after, temb_channels=6, groups=2, eps=1e-5
    )
    for norm in (made.norm1, made.norm2):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return made.eval()


@torch.no_grad()
@pytest.mark.parametrize("after", [8, 12])
def test_without_depth_a_block_is_the_one_that_it_took_over(after):
    theirs, ours = block(8, after), LocalResnet(8, after, 6, 3, groups=2)
    ours.take(theirs)
    x, time = torch.randn(2, 8, 5, 4), torch.randn(2, 6)
    given = ours.modulation(torch.zeros(2, 3, 5, 4))
    torch.testing.assert_close(ours(x, time, given), theirs(x, time))
    heard = ours.modulation(torch.randn(2, 3, 5, 4))
    assert (ours(x, time, heard) - theirs(x, time)).abs().max() > 1e-2


@torch.no_grad()
def test_modulation_goes_to_names_and_back():
    ours = LocalResnet(8, 8, 6, 3, groups=2)
    given = Modulation(tuple(ours.modulation(torch.randn(1, 3, n, n)) for n in (4, 2)))
    named = given.named()
    assert len(named) == 8 and "1.norm_out.beta" in named
    back = Modulation.from_named(named)
    for level, again in zip(given.levels, back.levels, strict=True):
        assert again.norm_in.gamma is level.norm_in.gamma
        assert again.norm_out.beta is level.norm_out.beta
