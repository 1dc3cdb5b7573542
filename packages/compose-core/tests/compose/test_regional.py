"""Each part in its own place."""

import pytest
import torch

from compose_core.compose import Consensus, Regional
from compose_core.denoiser import Gaussian
from compose_core.errors import ShapeError
from compose_core.testing.laws import (
    assert_close,
    check_denoiser,
    check_gaussian,
    check_identical_parts,
    check_one_hot,
    check_permutation,
    check_sums_to_one,
)
from compose_core.testing.models import TinyNetwork, stable_diffusion_schedule, tiny_parts
from compose_core.views import Whole

LEVELS = [stable_diffusion_schedule().level(torch.tensor(t)) for t in (1.0, 400.0, 998.0)]
LEVEL = LEVELS[1]


def noise(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


def masks_of(*shape, seed=0):
    return noise(*shape, seed=seed).abs() + 0.01


def parts_of(count):
    return tiny_parts(count, TinyNetwork(dtype=torch.float64))


def test_the_laws():
    parts, masks, x_t = parts_of(3), masks_of(3, 6, 6), noise(2, 4, 6, 6)
    check_denoiser(Regional(parts, masks), x_t, LEVEL)
    check_sums_to_one([Whole()] * 3, list(Regional(parts, masks).init(x_t)[0]), x_t)
    check_identical_parts(
        lambda same: Regional(same, masks_of(len(same), 6, 6)), parts[0], x_t, LEVEL
    )
    check_permutation(
        lambda order: Regional([parts[i] for i in order], masks[list(order)]), 3, x_t, LEVEL
    )

    def build(i):
        hot = torch.zeros(3, 6, 6)
        hot[i] = 1
        return Regional(parts, hot)

    check_one_hot(build, parts, x_t, LEVEL)


def test_each_place_is_its_parts_own():
    parts, x_t = parts_of(2), noise(1, 4, 6, 6)
    left = torch.zeros(6, 6, dtype=torch.bool)
    left[:, :3] = True
    x0 = Regional(parts, torch.stack([left, ~left]))(x_t, LEVEL).x0
    a, b = (part(x_t, LEVEL).x0 for part in parts)
    assert torch.equal(x0[..., :3], a[..., :3]) and torch.equal(x0[..., 3:], b[..., 3:])


def test_gaussians_of_mixed_means():
    means, masks = [noise(2, 6, seed=i) for i in range(3)], masks_of(3, 6)
    share = masks / masks.sum(0)
    mean = sum(m * w for m, w in zip(means, share, strict=True))
    regional = Regional([Gaussian(m, 0.4) for m in means], masks)
    check_gaussian(regional, mean, 0.4, LEVELS, noise(3, 2, 6))


def test_it_is_a_consensus_of_weighted_wholes():
    parts, masks, x_t = parts_of(3), masks_of(3, 6, 6), noise(2, 4, 6, 6)
    consensus = Consensus(parts, [Whole()] * 3, list(masks))
    assert_close(Regional(parts, masks)(x_t, LEVEL).x0, consensus(x_t, LEVEL).x0, "the same rule")


def test_masks_of_each_sample():
    parts, masks, x_t = parts_of(2), masks_of(2, 3, 1, 6, 6), noise(3, 4, 6, 6)
    together = Regional(parts, masks)(x_t, LEVEL).x0
    for i in range(3):
        alone = Regional(parts, masks[:, i, 0])(x_t[i : i + 1], LEVEL).x0
        assert_close(together[i : i + 1], alone, "own masks")


def test_the_scale_of_the_masks_does_not_matter():
    parts, masks, x_t = parts_of(2), masks_of(2, 6, 6), noise(1, 4, 6, 6)
    scaled = Regional(parts, masks * masks_of(6, 6, seed=4))(x_t, LEVEL).x0
    assert_close(scaled, Regional(parts, masks)(x_t, LEVEL).x0, "normalised")


@pytest.mark.parametrize(
    ("masks", "reason"),
    [
        (torch.ones(3, 6, 6), "one mask per part"),
        (torch.ones(2), "one mask per part"),
        (torch.zeros(2, 6, 6), "36 empty cells"),
        (-torch.ones(2, 6, 6), "not negative"),
        (torch.full((2, 6, 6), torch.nan), "finite"),
    ],
)
def test_wrong_masks_are_refused(masks, reason):
    with pytest.raises(ShapeError, match=reason):
        Regional(parts_of(2), masks)


@pytest.mark.parametrize("shape", [(2, 6, 8), (2, 6), (2, 4, 1, 6, 6), (2, 1, 3, 6, 6), (2, 1, 6)])
def test_masks_of_another_size_are_refused(shape):
    with pytest.raises(ShapeError, match="do not fit the sample"):
        Regional(parts_of(2), torch.ones(shape))(noise(3, 4, 6, 6), LEVEL)


def test_on_every_device(device):
    regional = Regional([Gaussian(0.0, 1.0), Gaussian(1.0, 1.0)], masks_of(2, 6))
    x_t = noise(2, 3, 6)
    here = regional(x_t, LEVEL).x0
    assert_close(regional.to(device)(x_t.to(device), LEVEL).x0.cpu(), here, "device")
