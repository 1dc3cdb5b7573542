"""Land and pictures: the same in every crop, and what the labels say."""

import pytest
import torch

from compose_core.errors import UsageError
from compose_worlds.terrain import CLASSES, Land, Weather, chart, draw, region, satellite
from compose_worlds.terrain.noise import cells, fractal, grid, smooth
from compose_worlds.terrain.picture import DIRECTIONS, FLAT, SEASONS, palette, tall
from compose_worlds.terrain.places import HELD_OUT, LANDS


@pytest.mark.parametrize(("top", "left"), [(-40, 7), (1000, 123_456)])
def test_a_crop_is_cut_out_of_the_whole(top, left):
    land, weather = Land(3), Weather("autumn", 3)
    whole = region(land, top, left, (48, 40))
    part = region(land, top + 9, left + 5, (17, 30))
    rows, columns = slice(9, 26), slice(5, 35)
    assert torch.equal(whole.classes[rows, columns], part.classes)
    assert torch.equal(whole.height[rows, columns], part.height)
    assert torch.equal(chart(whole)[:, rows, columns], chart(part))
    assert torch.equal(satellite(whole, weather)[:, rows, columns], satellite(part, weather))


def test_numbers_give_the_same_pairs_and_held_out_ones_lie_elsewhere():
    (a, weather), (b, again) = draw(5, (32, 32)), draw(5, (32, 32))
    assert torch.equal(a.classes, b.classes) and weather == again
    assert draw(HELD_OUT + 5, (8, 8))[0].land.seed >= LANDS > a.land.seed
    assert len({draw(i, (8, 8))[1] for i in range(60)}) > 20


def test_every_class_is_there_and_the_map_shows_it():
    seen = [draw(i, (64, 64))[0] for i in range(6)]
    classes = torch.stack([one.classes for one in seen])
    shares = torch.bincount(classes.flatten(), minlength=len(CLASSES)) / classes.numel()
    assert (shares > 0.005).all() and shares.max() < 0.5
    flat = palette(FLAT)
    back = (chart(seen[0]).permute(1, 2, 0)[:, :, None] - flat).abs().sum(-1).argmin(-1)
    assert torch.equal(back, seen[0].classes)
    assert len({tuple(c) for c in flat.tolist()}) == len(CLASSES)


def test_the_map_knows_nothing_of_the_weather_and_the_picture_does():
    seen = region(Land(1), 0, 0, (48, 48))
    pictures = [satellite(seen, Weather(s, d)) for s in SEASONS for d in (0, 4)]
    for i, one in enumerate(pictures):
        assert one.shape == (3, 48, 48) and 0 <= one.min() and one.max() <= 1
        assert all(not torch.equal(one, other) for other in pictures[:i])


def test_shadows_fall_away_from_the_light():
    seen = region(Land(1), 0, 0, (64, 64))
    high = tall(seen.classes)
    assert high.any()
    for light, (dy, dx) in enumerate(DIRECTIONS):
        bright = satellite(seen, Weather("summer", light)).sum(0)
        behind = torch.zeros_like(high)
        before = torch.zeros_like(high)
        inner = slice(1, -1)
        behind[inner, inner] = high.roll((-dy, -dx), (0, 1))[inner, inner]
        before[inner, inner] = high.roll((dy, dx), (0, 1))[inner, inner]
        grass = seen.classes == CLASSES.index("grass")
        shaded, lit = grass & behind & ~before, grass & before & ~behind
        assert bright[shaded].mean() < 0.75 * bright[lit].mean()


def test_noise_is_smooth_and_fills_its_range():
    y, x = grid(-50, -50, 200, 200)
    field = smooth(1, 2, y, x, 16.0)
    assert 0 <= field.min() < 0.1 and 0.9 < field.max() < 1
    assert (field[1:] - field[:-1]).abs().max() < 1.6 / 16
    total = fractal(1, 2, y, x, 32.0, 4)
    assert 0 <= total.min() and total.max() < 1 and 0.4 < total.mean() < 0.6
    white = cells(9, 9, y, x)
    assert abs(float(white.mean()) - 0.5) < 0.01
    neighbours = (white[1:] - 0.5) * (white[:-1] - 0.5)
    assert abs(float(neighbours.mean())) < 0.003
    assert not torch.equal(white, cells(9, 10, y, x))


def test_impossible_lands_are_refused():
    with pytest.raises(UsageError, match="scale"):
        Land(0, scale=1)
    with pytest.raises(UsageError, match="extent"):
        region(Land(0), 0, 0, (0, 5))
    with pytest.raises(UsageError, match="weather"):
        Weather("monsoon", 0)
