"""SPADE and the discriminator."""

import pytest
import torch

from compose_core.errors import UsageError
from compose_tlam.generators import SPADE, Discriminator
from compose_tlam.losses import feature_matching, generator_hinge, hinge


def spade(**options):
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        return SPADE(3, **{"last": 2, "factors": (2, 2, 1), "hidden": 4, **options})


def opponent(**options):
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        return Discriminator(5, **{"narrow": 4, "layers": 3, **options})


@pytest.mark.parametrize("size", [(4, 4), (8, 12), (9, 5)])
def test_pictures_of_any_size(dice, size):
    picture = spade().eval()(torch.randn(2, 3, *size, generator=dice))
    assert picture.shape == (2, 3, *size) and float(picture.detach().abs().max()) <= 1


def test_labels_reach_every_block(dice):
    made = spade()
    z = torch.randn(2, 3, 8, 8, generator=dice)
    made(z).square().sum().backward()
    silent = [n for n, p in made.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert not [n for n in silent if "shared" in n or "gamma.weight" in n or "beta.weight" in n]


def test_spade_without_blocks_is_refused():
    with pytest.raises(UsageError):
        SPADE(3, factors=())


def test_weights_of_the_middle_layers_have_norm_one(dice):
    made = opponent()
    condition, picture = torch.randn(2, 2, 32, 32, generator=dice), torch.randn(2, 3, 32, 32)
    for _ in range(30):  # power iterations
        made(condition, picture)
    for scale in made.scales:
        for part in list(scale.parts)[1:-1]:
            weight = part[0].weight.detach().flatten(1)
            assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1, abs=0.05)


def test_scales_see_half_the_size_each():
    maps = opponent(scales=3)(torch.zeros(1, 2, 32, 32), torch.zeros(1, 3, 32, 32))
    sides = [scale[0].shape[-1] for scale in maps]
    assert len(maps) == 3 and sides == [17, 9, 5]
    assert all(scale[-1].shape[1] == 1 for scale in maps)


def test_losses_are_their_formulas(dice):
    def maps():
        return [[torch.randn(2, 3, 4, 4, generator=dice) for _ in range(3)] for _ in range(2)]

    real, fake = maps(), maps()
    by_hand = sum(
        (1 - r[-1]).clamp_min(0).mean() + (1 + f[-1]).clamp_min(0).mean()
        for r, f in zip(real, fake, strict=True)
    )
    torch.testing.assert_close(hinge(real, fake), by_hand / 2)
    torch.testing.assert_close(
        generator_hinge(fake), -(fake[0][-1].mean() + fake[1][-1].mean()) / 2
    )
    pairs = [
        (r, f) for a, b in zip(real, fake, strict=True) for r, f in zip(a[:2], b[:2], strict=True)
    ]
    torch.testing.assert_close(
        feature_matching(real, fake), sum((r - f).abs().mean() for r, f in pairs) / 2
    )
    assert float(feature_matching(real, real)) == 0
