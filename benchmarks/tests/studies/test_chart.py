"""Figures: what is drawn lies where it should."""

import pytest
import torch
from PIL import Image

from compose_benchmarks.studies.chart import COLORS, Curve, Point, curves, grid, stacked, tile


def test_tiles_keep_their_proportions_and_colours():
    picture = torch.zeros(3, 10, 20, dtype=torch.uint8)
    picture[0] = 200
    found = tile(picture, 40)
    assert found.size == (80, 40) and found.getpixel((40, 20)) == (200, 0, 0)
    assert tile(torch.ones(3, 4, 4), 8).getpixel((4, 4)) == (255, 255, 255)


def test_a_grid_shows_every_tile_once():
    tiles = [Image.new("RGB", (30, 30), (i, 0, 255)) for i in range(5)]
    page = grid(
        [tiles[:3], [tiles[3], None, tiles[4]]], ["a", "b\nc", ""], ["one", "two"], after=(0,)
    )
    for one in tiles:
        color = one.getpixel((0, 0))
        assert sum(count for count, c in page.getcolors(2**20) if c == color) == 900


def test_higher_values_lie_higher():
    def height(y):
        one = Curve("x", [Point(0, 0), Point(1, y, y - 0.1, y + 0.1), Point(2, 1)])
        page = curves("t", [one], [(0.0, "0"), (2.0, "2")], "x").load()
        middle = [(x, y) for x in range(295, 325) for y in range(60, 225)]
        blue = [y for x, y in middle if page[x, y] == COLORS[0]]
        return min(blue)

    assert height(0.9) < height(0.5)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e-6])
def test_a_flat_curve_is_drawn(value):
    page = curves("t", [Curve("x", [Point(0, value)])], [(0.0, "here")], "")
    assert COLORS[0] in {color for _, color in page.getcolors(2**24)}


def test_parts_do_not_overlap():
    parts = [Image.new("RGB", (20 * (i + 1), 10), (i, 0, 255)) for i in range(3)]
    page = stacked(parts)
    counts = {color: count for count, color in page.getcolors(2**20)}
    assert [counts[(i, 0, 255)] for i in range(3)] == [200, 400, 600]
