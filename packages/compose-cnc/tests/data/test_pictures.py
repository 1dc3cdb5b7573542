"""Masks, labels and geometry."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compose_cnc.data import pictures
from compose_core.errors import SceneError, UsageError


def png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def test_things_are_the_labels_to_90():
    row = np.array([[0, 17, 90, 91, 181, 255]], np.uint8)
    assert pictures.things(png(row), "labels").tolist() == [
        [True, True, True, False, False, False]
    ]


@pytest.mark.parametrize("white", [255, 65535])
def test_a_given_mask_is_cut_at_half(white: int):
    values = (np.array([[0.0, 0.4, 0.6, 1.0]]) * white).astype(
        np.uint8 if white == 255 else np.uint16
    )
    assert pictures.mask(png(values), "mask").tolist() == [[False, False, True, True]]


def test_damaged_and_coloured_masks_are_refused(picture_bytes: bytes):
    whole = png(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    for read in (pictures.mask, pictures.things):
        for data in (whole[: len(whole) // 2], b"no picture", picture_bytes):
            with pytest.raises(SceneError, match="the file"):
                read(data, "the file")


@given(st.integers(5, 70), st.integers(5, 70), st.sampled_from([8, 16, 40]))
def test_nearest_keeps_what_is_constant(height: int, width: int, size: int):
    for value in (True, False):
        for fit in ("crop", "stretch"):
            found = pictures.fit_mask(torch.full((height, width), value), size, fit)
            assert found.shape == (size, size) and bool((found == value).all())
            colours = torch.full((3, height, width), 0.25)
            assert torch.allclose(
                pictures.fit_picture(colours, size, fit), torch.full((3, size, size), 0.25)
            )


def test_crop_takes_the_middle_of_picture_and_mask_alike():
    colours = torch.zeros(3, 16, 48)
    colours[:, :, 16:32] = 1
    assert bool((pictures.fit_picture(colours, 16) == 1).all())
    assert bool(pictures.fit_mask(colours[0] > 0.5, 16).all())
    assert pictures.fit_mask(colours[0] > 0.5, 48, "stretch").float().mean() == pytest.approx(
        1 / 3
    )


def test_an_unknown_fit_is_refused():
    with pytest.raises(UsageError, match="fit"):
        pictures.fit_picture(torch.zeros(3, 8, 8), 8, "squeeze")  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [0, 1, 2, 3, 5, 50])
def test_dilation_grows_by_a_square(side: int):
    masks = torch.zeros(1, 101, 101, dtype=torch.bool)
    masks[0, 50, 50] = True
    grown = pictures.dilated(masks, side)
    assert grown.sum() == max(1, side) ** 2
    assert grown.shape == masks.shape and bool(grown[masks].all())


def test_an_even_square_grows_as_in_opencv():
    """`dst(x) = max src(x + i - anchor)`, `i` in 0..side-1, `anchor = side // 2`."""
    masks = torch.zeros(1, 9, 9, dtype=torch.bool)
    masks[0, 4, 4] = True
    wanted = torch.zeros(9, 9, dtype=torch.bool)
    for y in range(9):
        for x in range(9):
            wanted[y, x] = any(
                y + i - 2 == 4 and x + j - 2 == 4 for i in range(4) for j in range(4)
            )
    assert torch.equal(pictures.dilated(masks, 4)[0], wanted)


def test_depth_is_stretched_per_picture_and_constants_are_zero():
    depth = torch.stack([torch.linspace(-3, 5, 12).reshape(3, 4), torch.full((3, 4), 2.0)])
    found = pictures.stretched(depth)
    assert found[0].min() == 0 and found[0].max() == 1
    assert bool((found[1] == 0).all())
    assert torch.allclose(pictures.stretched(7 * depth - 1), found)
