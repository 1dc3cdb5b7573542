"""From masks to what a layer may hear, against closed forms."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compose_cnc.regions import (
    at_size,
    bias,
    check_shape,
    check_values,
    columns,
    level_sizes,
    visible,
)
from compose_cnc.testing import draw
from compose_core.errors import ShapeError, UsageError


def complementary(mask):
    """The paper's two regions: the foreground, and everything behind it."""
    return torch.cat([mask, torch.ones_like(mask)], 1)


@given(st.integers(1, 5), st.integers(0, 99))
def test_with_a_background_the_shares_sum_to_one(count, seed):
    masks = torch.cat([draw(2, count, 6, 5, seed=seed, uniform=True), torch.ones(2, 1, 6, 5)], 1)
    seen = visible(masks)
    assert bool(((seen >= 0) & (seen <= 1)).all())
    torch.testing.assert_close(seen.sum(1), torch.ones(2, 6, 5))


def test_the_nearer_region_covers_the_farther():
    masks = torch.zeros(1, 3, 4, 4)
    masks[:, 0, :2], masks[:, 1, 1:3], masks[:, 2] = 1, 1, 1
    seen = visible(masks)
    assert torch.equal(seen[:, 0], masks[:, 0])
    assert torch.equal(seen[0, 1, :, 0], torch.tensor([0.0, 0, 1, 0]))
    assert torch.equal(seen[0, 2, :, 0], torch.tensor([0.0, 0, 0, 1]))


def test_half_transparent_regions_share_as_layers_of_glass_do():
    seen = visible(torch.full((1, 3, 1, 1), 0.5))
    assert seen.flatten().tolist() == [0.5, 0.25, 0.125]


@pytest.mark.parametrize(("factor", "seed"), [*itertools.product((8, 16, 32, 64), range(4))])
def test_official_is_any_pixel_in_the_central_block_of_the_cell(factor, seed):
    """The closed form of bicubic resizing without antialiasing, then `bool`."""
    mask = (draw(1, 1, 4 * factor, 3 * factor, seed=seed, uniform=True) < 1 / 24).float()
    cells = mask.reshape(4, factor, 3, factor)
    block = slice(factor // 2 - 2, factor // 2 + 2)
    want = cells[:, block, :, block].amax((1, 3))
    got = at_size(complementary(mask), (4, 3))
    assert 0 < want.mean() < 1
    assert torch.equal(got[0, 0], want)
    assert torch.equal(got[0, 1], 1 - want)


def test_official_takes_the_faintest_mask_for_a_whole_one():
    faint = torch.full((1, 1, 32, 32), 1e-3)
    assert torch.equal(at_size(faint, (4, 4)), torch.ones(1, 1, 4, 4))
    assert torch.allclose(at_size(faint, (4, 4), "area"), torch.tensor(1e-3))


def test_a_thin_line_is_lost_at_coarse_layers_only():
    mask = torch.zeros(1, 1, 512, 512)
    mask[..., 246:252, :] = 1
    seen = [bool(at_size(mask, (512 // f, 512 // f)).any()) for f in (8, 16, 32, 64)]
    assert seen == [True, True, False, False]
    assert all(bool(at_size(mask, (512 // f,) * 2, "area").any()) for f in (8, 16, 32, 64))


def test_area_keeps_the_mean_and_the_sum_of_shares():
    masks = torch.cat([draw(1, 3, 32, 16, uniform=True), torch.ones(1, 1, 32, 16)], 1)
    seen = at_size(masks, (4, 2), "area")
    torch.testing.assert_close(seen.mean((2, 3)), visible(masks).mean((2, 3)))
    torch.testing.assert_close(seen.sum(1), torch.ones(1, 4, 2))


@pytest.mark.parametrize("resize", ["official", "area", "nearest"])
def test_at_its_own_size_a_hard_mask_stays(resize):
    mask = (draw(1, 1, 6, 8) > 0).float()
    assert torch.equal(at_size(complementary(mask), (6, 8), resize), visible(complementary(mask)))


@pytest.mark.parametrize("resize", ["official", "area", "nearest"])
def test_nothing_and_everything_stay_so(resize):
    for value in (0.0, 1.0):
        seen = at_size(complementary(torch.full((1, 1, 36, 28), value)), (5, 4), resize)
        assert torch.equal(seen[0, 0], torch.full((5, 4), value))
        assert torch.equal(seen[0, 1], torch.full((5, 4), 1 - value))


def test_levels_halve_and_round_up():
    assert level_sizes((9, 14), 4) == [(9, 14), (5, 7), (3, 4), (2, 2)]


def test_columns_are_text_then_the_tokens_of_each_region():
    seen = torch.tensor([0.0, 0.25]).reshape(1, 2, 1, 1)
    shares = columns(seen, text=3, tokens=2)
    assert shares.shape == (1, 1, 1, 7)
    assert shares.flatten().tolist() == [1, 1, 1, 0, 0, 0.25, 0.25]
    want = [0.0, 0, 0, -math.inf, -math.inf, math.log(0.25), math.log(0.25)]
    assert bias(shares).flatten().tolist() == pytest.approx(want)


def test_a_bias_multiplies_the_weights_of_a_softmax():
    scores, shares = draw(5, 6), draw(5, 6, seed=1, uniform=True)
    weights = scores.exp() * shares
    want = weights / weights.sum(-1, keepdim=True)
    torch.testing.assert_close((scores + bias(shares)).softmax(-1), want)


def test_masks_that_are_none_are_refused():
    for shape in ((2, 8, 8), (1, 2, 8, 4), (1, 0, 8, 8)):
        with pytest.raises(ShapeError, match="do not fit the picture"):
            check_shape(torch.zeros(shape), (4, 4))
    check_shape(torch.zeros(1, 2, 8, 4), (4, 2))
    for value in (1.5, -0.1, math.nan, math.inf):
        with pytest.raises(ShapeError, match="no mask"):
            check_values(torch.full((1, 1, 2, 2), value))
    with pytest.raises(UsageError, match="official, area or nearest"):
        at_size(torch.zeros(1, 1, 4, 4), (2, 2), "bilinear")
