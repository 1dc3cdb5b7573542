"""ASAP-Net: its size, its tiles against a loop over pixels, any size of picture."""

import pytest
import torch
from torch.nn import functional as F

from compose_core.errors import UsageError
from compose_tlam.generators import ASAP, asap
from compose_tlam.generators.asap import _shrunk, asap_paper
from compose_tlam.generators.positions import positions

TINY = {"tile": 4, "learned": 2, "narrow": 4, "deep": 6, "depth": 2, "pixel": 5}


def seeded(**options):
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        return ASAP(3, **{**TINY, **options}).double()


def test_the_size_of_the_paper():
    with torch.device("meta"):
        made = asap_paper()
    assert sum(p.numel() for p in made.parameters()) == 87_237_571
    # (d + 16) x 64 + 64, three times 64 x 64 + 64, and 64 x 3 + 3
    assert made.predict.out_features == 19_907


def test_every_pixel_goes_through_the_network_of_its_tile(dice):
    made = seeded()
    z = torch.randn(2, 3, 8, 12, generator=dice, dtype=torch.float64)
    picture, weights = made(z), made.look(z)
    assert picture.shape == (2, 3, 8, 12) and weights.shape[1:3] == (2, 3)
    code = positions(4).double()
    for b, y, x in ((0, 0, 0), (1, 5, 10), (0, 7, 3)):
        own = weights[b, y // 4, x // 4]
        value = torch.cat([z[b, :, y, x], code[(y % 4) * 4 + x % 4]])
        start = 0
        for n, (inside, outside) in enumerate(made.shapes):
            bias = own[start : start + outside]
            start += outside
            matrix = own[start : start + inside * outside].view(inside, outside)
            start += inside * outside
            value = value @ matrix + bias
            value = F.leaky_relu(value, 0.01) if n < 4 else value
        torch.testing.assert_close(picture[b, :, y, x], torch.tanh(value))
    assert start == len(own)


@pytest.mark.parametrize("tiles", [1, 5, 100])
def test_pieces_make_the_picture_that_the_whole_makes(tiles, dice, monkeypatch):
    made = seeded()
    z = torch.randn(2, 3, 12, 20, generator=dice, dtype=torch.float64)
    whole = made(z)
    called = []
    made.predict.register_forward_hook(lambda *_: called.append(1))
    monkeypatch.setattr(asap, "_PIECE", tiles * made.predict.out_features)
    torch.testing.assert_close(made(z), whole, rtol=0, atol=1e-13)
    assert len(called) == -(-30 // tiles)


def test_positions_tell_the_pixels_of_a_tile_apart():
    code = positions(8)
    assert code.shape == (64, 12)
    assert float(torch.cdist(code, code).add(torch.eye(64)).min()) > 0.1


@pytest.mark.parametrize("size", [(4, 4), (9, 6), (16, 7)])
def test_any_size(dice, size):
    made = seeded()
    picture = made(torch.randn(1, 3, *size, generator=dice, dtype=torch.float64))
    assert picture.shape == (1, 3, *size) and float(picture.detach().abs().max()) <= 1


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_tent_keeps_flat_pictures_and_shrinks_evenly(factor, dice):
    flat = torch.full((1, 2, 16, 16), 0.3, dtype=torch.float64)
    found = _shrunk(flat, factor)
    assert found.shape[-1] == 16 // factor
    torch.testing.assert_close(found, torch.full_like(found, 0.3))
    ramp = torch.arange(16.0, dtype=torch.float64).expand(1, 1, 16, 16)
    inner = _shrunk(ramp, factor)[0, 0, 8 // factor, 1:-1]
    steps = inner[1:] - inner[:-1]
    torch.testing.assert_close(steps, torch.full_like(steps, factor))


def test_batches_do_not_mix(dice):
    made = seeded()
    z = torch.randn(3, 3, 8, 8, generator=dice, dtype=torch.float64)
    torch.testing.assert_close(made(z)[1:2], made(z[1:2]))


def test_sizes_that_do_not_halve_are_refused():
    for options in ({"tile": 6}, {"tile": 4, "learned": 8}, {"depth": 0}):
        with pytest.raises(UsageError):
            seeded(**options)
