"""Pictures from outside: what is refused, and that refusing happens before decoding."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compose_core.errors import SceneError
from compose_core.images import (
    MAX_PIXELS,
    check_mask,
    open_picture,
    read_bytes,
    read_colours,
    read_depth,
    read_mask,
    read_segments,
    resize,
)

SIZE = (6, 4)


def encoded(values, mode=None, fmt="PNG"):
    stream = io.BytesIO()
    picture = Image.fromarray(np.asarray(values))
    (picture.convert(mode) if mode else picture).save(stream, fmt)
    return stream.getvalue()


def ramp(dtype=np.uint8, top=255):
    return np.linspace(0, top, SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0]).astype(dtype)


def header_only_png(width, height):
    """A PNG that claims a size and holds almost no data."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (12_000, 12_000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_from_the_header_alone(width, height):
    assert width * height > MAX_PIXELS
    with pytest.raises(SceneError, match="too many pixels") as caught:
        open_picture(header_only_png(width, height), "the picture")
    assert "64 megapixels" in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"not an image", b"\x80\x04\x95pickle", b"\x93NUMPY\x01\x00"]
)
def test_what_is_no_image_is_refused(data):
    with pytest.raises(SceneError, match="not an image"):
        read_mask(data, SIZE)


def test_a_truncated_picture_is_refused():
    data = encoded(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    with pytest.raises(SceneError, match="damaged"):
        read_mask(data[: len(data) // 2], (64, 64))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_a_mask_must_be_greyscale(mode):
    with pytest.raises(SceneError, match="wrong mode") as caught:
        read_mask(encoded(ramp(), mode), SIZE)
    assert mode in str(caught.value)


@pytest.mark.parametrize("read", [read_mask, read_depth, read_segments])
def test_the_size_must_be_that_of_the_canvas(read):
    with pytest.raises(SceneError, match="wrong size") as caught:
        read(encoded(ramp()), (7, 4))
    assert caught.value.got == "6 x 4"


def test_eight_and_sixteen_bit_masks_agree():
    values = ramp()
    wide = values.astype(np.uint16) * 257
    assert np.allclose(read_mask(encoded(values), SIZE), read_mask(encoded(wide), SIZE))


def test_a_bilevel_mask_is_zero_and_one():
    values = read_mask(encoded(ramp() > 128), SIZE)
    assert set(np.unique(values)) == {0.0, 1.0}


def test_an_empty_mask_is_refused():
    with pytest.raises(SceneError, match="empty"):
        read_mask(encoded(np.zeros((4, 6), np.uint8)), SIZE)


def test_a_mask_with_nan_is_refused():
    with pytest.raises(SceneError, match="not numbers"):
        check_mask(np.full((2, 2), np.nan, np.float32))


@pytest.mark.parametrize("top", [255, 65535])
def test_depth_is_stretched_to_the_unit_range(top):
    values = read_depth(encoded(ramp(np.uint8 if top == 255 else np.uint16, top)), SIZE)
    assert values.min() == 0 and values.max() == 1
    assert (np.diff(values.ravel()) > 0).all()


def test_float_depth_is_read_and_nan_refused():
    values = ramp(np.float32, 3.0)
    assert read_depth(encoded(values, fmt="TIFF"), SIZE).max() == 1
    values[1, 2] = np.nan
    with pytest.raises(SceneError, match="not numbers") as caught:
        read_depth(encoded(values, fmt="TIFF"), SIZE)
    assert "1 of 24" in str(caught.value)


def test_a_constant_depth_is_refused():
    with pytest.raises(SceneError, match="constant"):
        read_depth(encoded(np.full((4, 6), 9, np.uint8)), SIZE)


def test_segments_keep_their_numbers():
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert (read_segments(encoded(labels), SIZE) == labels).all()


def test_colours_of_any_mode_become_rgb_and_transparency_white():
    clear = np.zeros((4, 6, 4), np.uint8)
    assert (read_colours(encoded(clear)) == 1).all()
    assert read_colours(encoded(ramp())).shape == (4, 6, 3)


def test_arrays_are_read_only():
    values = read_mask(encoded(ramp()), SIZE)
    with pytest.raises(ValueError, match="read-only"):
        values[0, 0] = 1


def test_a_missing_file_a_folder_and_a_large_file(tmp_path):
    with pytest.raises(SceneError, match="does not exist"):
        read_bytes(tmp_path / "nothing.png", "the mask")
    with pytest.raises(SceneError, match="not a file"):
        read_bytes(tmp_path, "the mask")
    (tmp_path / "large").write_bytes(b"12345")
    with pytest.raises(SceneError, match="too large"):
        read_bytes(tmp_path / "large", "the mask", limit=4)


@given(st.binary(max_size=400))
def test_garbage_after_a_good_header_raises_only_our_error(tail):
    data = encoded(ramp())[:40] + tail
    try:
        read_mask(data, SIZE)
    except SceneError:
        pass


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_resizing_keeps_constants_and_bounds(height, width, new_height, new_width):
    assert np.allclose(resize(np.ones((height, width), np.float32), new_height, new_width), 1)
    values = np.random.default_rng(height * width).random((height, width), np.float32)
    result = resize(values, new_height, new_width)
    assert result.shape == (new_height, new_width)
    assert values.min() - 1e-6 <= result.min() and result.max() <= values.max() + 1e-6


def test_shrinking_by_a_whole_factor_keeps_the_mean():
    values = np.zeros((16, 16), np.float32)
    values[4:12, 4:12] = 1
    assert resize(values, 4, 4).mean() == pytest.approx(values.mean(), abs=1e-6)
