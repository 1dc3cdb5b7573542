"""What is read in rendered pictures, and in pictures that are wrong."""

import pytest
import torch

from compose_core.errors import ShapeError
from compose_worlds.terrain import SEASONS, Weather, draw, read, satellite
from compose_worlds.terrain.places import HELD_OUT


def pairs(n, size):
    for i in range(n):
        seen, weather = draw(HELD_OUT + i, (size, size))
        yield seen, weather, satellite(seen, weather)


def test_season_and_light_of_rendered_pictures_are_read():
    n = 24
    found = [(weather, read(shown, seen.classes)) for seen, weather, shown in pairs(n, 48)]
    assert sum(w.season == r.season for w, r in found) == n
    assert sum(w.light == r.light for w, r in found) >= n - 1
    assert all(r.misfit < 0.03 and r.fidelity > 0.5 for _, r in found)
    assert sum(r.fidelity for _, r in found) > 0.75 * n
    assert 0.4 < sum(r.contrast for _, r in found) / n < 0.7


def test_a_picture_of_another_map_is_not_faithful():
    shown = list(pairs(6, 48))
    for i, (seen, _, picture) in enumerate(shown):
        other = shown[i - 1][0]
        own, wrong = read(picture, seen.classes), read(picture, other.classes)
        assert wrong.fidelity < own.fidelity - 0.3 and wrong.misfit > 2 * own.misfit


def test_halves_of_different_weather_are_read_apart():
    for seen, weather, picture in pairs(4, 64):
        season = SEASONS[SEASONS.index(weather.season) - 1]
        other = satellite(seen, Weather(season, (weather.light + 4) % 8))
        mixed = torch.cat([picture[:, :, :32], other[:, :, 32:]], 2)
        left = read(mixed[:, :, :32], seen.classes[:, :32])
        right = read(mixed[:, :, 32:], seen.classes[:, 32:])
        assert left.season != right.season
        assert left.light is None or right.light is None or left.light != right.light


def test_an_average_of_two_seasons_fits_none():
    for seen, weather, picture in pairs(4, 48):
        winter = "summer" if weather.season == "winter" else "winter"
        blend = (picture + satellite(seen, Weather(winter, weather.light))) / 2
        assert read(blend, seen.classes).misfit > 2 * read(picture, seen.classes).misfit


def test_flat_colours_cast_no_shadow():
    seen, _ = draw(HELD_OUT, (48, 48))
    from compose_worlds.terrain.picture import PALETTES, palette

    flat = palette(PALETTES["summer"])[seen.classes].permute(2, 0, 1)
    found = read(flat, seen.classes)
    assert found.fidelity == 1 and found.contrast < 0.05 and found.misfit < 1e-4
    nothing = read(flat[:, :4, :4], torch.zeros(4, 4, dtype=torch.int64))
    assert nothing.light is None and nothing.contrast == 0


def test_what_does_not_fit_is_refused():
    seen, _ = draw(1, (16, 16))
    with pytest.raises(ShapeError, match="do not fit"):
        read(torch.zeros(3, 16, 15), seen.classes)
    with pytest.raises(ShapeError, match="no numbers"):
        read(torch.full((3, 16, 16), float("nan")), seen.classes)
