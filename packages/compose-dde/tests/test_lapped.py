"""The lapped transform is a rotation in which a tone is a few numbers."""

import math

import pytest
import torch

from compose_core.errors import ShapeError
from compose_dde.lapped import lapped, unlapped


def basis(cells, block):
    """What stands for each number: rows `(cells, cells)`."""
    return unlapped(torch.eye(cells, dtype=torch.float64).unflatten(1, (-1, block)))


@pytest.mark.parametrize(("cells", "block"), [(8, 8), (24, 8), (32, 2), (96, 16)])
def test_it_is_a_rotation(cells, block):
    rows = basis(cells, block)
    torch.testing.assert_close(rows @ rows.T, torch.eye(cells, dtype=torch.float64))
    x = torch.randn(2, 3, cells, dtype=torch.float64)
    frames = lapped(x, block)
    assert frames.shape == (2, 3, cells // block, block)
    torch.testing.assert_close(unlapped(frames), x)
    torch.testing.assert_close(frames.flatten(2), x @ rows.T)


def test_one_block_is_the_cosine_transform():
    """Without a neighbour nothing overlaps: DCT-IV, straight from its sum."""
    x = torch.randn(6, dtype=torch.float64)
    for k in range(6):
        angle = math.pi / 6 * (torch.arange(6, dtype=torch.float64) + 0.5) * (k + 0.5)
        expected = math.sqrt(2 / 6) * (x * angle.cos()).sum()
        torch.testing.assert_close(lapped(x, 6)[0, k], expected)


def test_inside_it_is_the_modified_cosine_transform_under_a_sine():
    """A frame that has neighbours: the MDCT's sum over two blocks, up to sign and order."""
    block, cells = 8, 40
    rows = basis(cells, block)[2 * block : 3 * block]  # the frame in the middle
    n = torch.arange(2 * block, dtype=torch.float64)
    window = torch.sin(math.pi / (2 * block) * (n + 0.5))
    for k in range(block):
        wave = torch.cos(math.pi / block * (n + 0.5 - block / 2) * (k + 0.5))
        expected = torch.zeros(cells, dtype=torch.float64)
        start = 2 * block - block // 2
        expected[start : start + 2 * block] = math.sqrt(2 / block) * window * wave
        torch.testing.assert_close(rows[k], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("hertz", [82.4, 220.0, 440.0])
def test_a_tone_lies_in_few_numbers_at_its_frequency(hertz):
    rate, block = 4000, 256
    t = torch.arange(64 * block, dtype=torch.float64) / rate
    energy = lapped(torch.sin(2 * math.pi * hertz * t), block)[1:-1].square().mean(0)
    assert float(energy.sort(descending=True).values[:6].sum() / energy.sum()) > 0.99
    assert abs((int(energy.argmax()) + 0.5) * rate / (2 * block) - hertz) < rate / (2 * block)


@pytest.mark.parametrize(("cells", "block"), [(10, 4), (9, 3), (4, 0)])
def test_what_is_no_whole_number_of_blocks_is_refused(cells, block):
    with pytest.raises(ShapeError, match="whole number of blocks"):
        lapped(torch.zeros(cells), block)


def test_mixed_precision_leaves_it_alone():
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        frames = lapped(x, 8)
        back = unlapped(frames)
    assert torch.equal(frames, lapped(x, 8)) and back.dtype == torch.float32
    torch.testing.assert_close(back, x)
