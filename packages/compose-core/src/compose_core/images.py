"""Pictures that come from outside, read with suspicion.

A picture is opened in three steps: the header alone (format, mode, size), then the decision, then
the pixels. So a small file that unpacks to gigabytes is refused before it is unpacked. Only plain
raster formats are tried; nothing is ever unpickled. Everything comes back as a read-only numpy
array: colours (H, W, 3) in [0, 1], single channels (H, W).
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from compose_core.errors import SceneError, ShapeError

Array = NDArray[np.float32]
Kind = Literal["mask", "depth", "segments", "exemplar", "vectors", "edges"]

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded, in pixels (64 megapixels)."""

MAX_BYTES = 64 * 2**20
"""Largest file that is read for a scene, in bytes."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")

_MODES: dict[Kind, tuple[str, ...]] = {
    "mask": ("1", "L", "I;16"),
    "depth": ("L", "I;16", "I;16B", "I", "F"),
    "segments": ("L", "P", "I;16"),
    "exemplar": ("RGB", "RGBA", "L", "LA", "P", "CMYK", "YCbCr"),
    "vectors": ("RGB",),
    "edges": ("1", "L", "I;16"),
}
_EXPECTED: dict[Kind, str] = {
    "mask": "a greyscale picture, 8 or 16 bit (mode 1, L or I;16): white inside, black outside",
    "depth": "a greyscale picture, 8 or 16 bit or float (mode L, I;16, I or F): near is bright",
    "segments": "one label per pixel (mode L, P or I;16)",
    "exemplar": "a colour or greyscale picture",
    "vectors": "a colour picture (mode RGB) whose channels are -1 to 1 on 1 to 255",
    "edges": "a greyscale picture, 8 or 16 bit (mode 1, L or I;16)",
}
MAX_CURVATURE = 8.0
"""Curvature of the greatest level of a curvature file, in 1 / metre."""

_NOTHING, _OFF, _STRAY = 0.1, 0.1, 0.02
"""Vectors shorter than this are none; others are of unit length up to this, but for a few strays:
8 bits round, and resizing blends."""

_WHITE = {"1": 1.0, "L": 255.0, "I;16": 65535.0}


def read_bytes(path: Path, what: str, limit: int = MAX_BYTES) -> bytes:
    """Bytes of a regular file of at most ``limit`` bytes; ``what`` names its role in messages.

    Raises:
        SceneError: the file is missing, not a regular file, too large or not readable.
    """
    try:
        if not path.exists():
            raise SceneError(
                f"{what} does not exist", got=path, remedy="check the name and the folder"
            )
        if not path.is_file():
            raise SceneError(f"{what} is not a file", got=path, expected="a regular file")
        if (size := path.stat().st_size) > limit:
            raise SceneError(
                f"{what} is too large",
                got=f"{size / 2**20:.0f} MiB in {path}",
                expected=f"at most {limit // 2**20} MiB",
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SceneError(f"{what} cannot be read", got=f"{str(path)!r}: {reason}") from error


def _too_many_pixels(what: str, pixels: str) -> SceneError:
    return SceneError(
        f"{what} has too many pixels",
        got=pixels,
        expected=f"at most {MAX_PIXELS // 10**6} megapixels",
        remedy="scale the picture down",
    )


def open_picture(data: bytes, what: str) -> Image.Image:
    """Read the header of a picture; no pixel is decoded yet.

    Raises:
        SceneError: it is no picture, or has more than `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit is stricter than Pillow's warning
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(what, str(error)) from error
    except Exception as error:  # Pillow's parsers raise nearly anything on damaged input
        raise SceneError(
            f"{what} is not an image that can be read",
            got=f"{len(data)} bytes starting with {data[:8]!r}",
            expected=", ".join(FORMATS),
            remedy="save it again as PNG",
        ) from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(what, f"{width} x {height}")
    return picture


def _decode(picture: Image.Image, what: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture.load()
    except Exception as error:  # as above: truncated data surfaces as many different types
        raise SceneError(
            f"{what} is damaged",
            got=f"{picture.format} of {picture.width} x {picture.height}: {error}",
            remedy="save the picture again",
        ) from error
    return picture


def _checked(data: bytes, kind: Kind, what: str, size: tuple[int, int] | None) -> Image.Image:
    """Header first: mode and size are judged before a pixel is decoded."""
    picture = open_picture(data, what)
    if picture.mode not in _MODES[kind]:
        raise SceneError(
            f"{what} has the wrong mode",
            got=f"mode {picture.mode}",
            expected=_EXPECTED[kind],
            remedy="convert the picture, for example Image.open(path).convert('L')",
        )
    if size is not None and picture.size != size:
        raise SceneError(
            f"{what} has the wrong size",
            got=f"{picture.width} x {picture.height}",
            expected=f"{size[0]} x {size[1]}, the size of the canvas",
            remedy="scale the picture to the canvas, or change the canvas",
        )
    return _decode(picture, what)


def _frozen(values: Array) -> Array:
    values.flags.writeable = False
    return values


def read_mask(data: bytes, size: tuple[int, int], what: str = "the mask") -> Array:
    """Soft mask (H, W) in [0, 1] from the bytes of a picture of ``size`` (width, height)."""
    picture = _checked(data, "mask", what, size)
    values = np.asarray(picture).astype(np.float32) / np.float32(_WHITE[picture.mode])
    return check_mask(values, what)


def check_mask(values: Array, what: str = "the mask") -> Array:
    """Refuse a mask (H, W) that is not finite, leaves [0, 1] or selects nothing."""
    if not np.isfinite(values).all():
        raise SceneError(f"{what} holds values that are not numbers", got="NaN or infinity")
    if values.size == 0 or values.max() <= 0:
        raise SceneError(
            f"{what} is empty",
            got="no pixel above 0",
            expected="white where the layer is",
            remedy="paint the region white, or leave the mask out",
        )
    return _frozen(values.clip(0, 1))


def read_depth(data: bytes, size: tuple[int, int], what: str = "the depth") -> Array:
    """Inverse depth (H, W) in [0, 1], near = 1, stretched to the whole range.

    8-bit, 16-bit and float pictures are taken; their scale has no meaning, only the order and the
    ratios of differences have.
    """
    picture = _checked(data, "depth", what, size)
    return check_depth(np.asarray(picture).astype(np.float32), what)


def check_depth(values: Array, what: str = "the depth") -> Array:
    """Stretch a depth (H, W) to [0, 1]; refuse it when it is not finite or constant."""
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise SceneError(
            f"{what} holds values that are not numbers",
            got=f"{bad} of {values.size} pixels are NaN or infinite",
            remedy="fill the holes, for example with the farthest value",
        )
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not high > low:
        raise SceneError(
            f"{what} is constant",
            got=f"{low:g} at every pixel",
            expected="at least two different values",
            remedy="leave the depth out, or use `z` to order flat layers",
        )
    return _frozen(((values.astype(np.float64) - low) / (high - low)).astype(np.float32))


def read_normals(data: bytes, size: tuple[int, int], what: str = "the normals") -> Array:
    """Unit normals (H, W, 3); zero where there is no direction (128, 128, 128).

    Raises:
        SceneError: vectors are neither of about unit length nor about zero.
    """
    values = _signed(data, size, what)
    length = np.linalg.norm(values, axis=-1)
    none = length < _NOTHING
    off = ~none & (np.abs(length - 1) > _OFF)
    if off.mean() > _STRAY:
        raise SceneError(
            f"{what} holds vectors that are not of unit length",
            got=f"{int(off.sum())} of {off.size} pixels, length {float(length[off][0]):.3g}",
            expected="length 1, or 128, 128, 128 for no direction",
            remedy="normalise them before writing (128 + 127 n)",
        )
    scaled = values / np.maximum(length, 1e-6)[..., None]
    return _frozen(np.where(none[..., None], np.float32(0), scaled).astype(np.float32))


def read_curvature(data: bytes, size: tuple[int, int], what: str = "the curvature") -> Array:
    """Principal curvatures (H, W, 2) in 1 / metre, from -8 to 8."""
    return _frozen(_signed(data, size, what)[..., :2] * np.float32(MAX_CURVATURE))


def read_edges(data: bytes, size: tuple[int, int], what: str = "the edges") -> Array:
    """Strength of edges (H, W) in [0, 1]."""
    picture = _checked(data, "edges", what, size)
    return _frozen(np.asarray(picture).astype(np.float32) / np.float32(_WHITE[picture.mode]))


def _signed(data: bytes, size: tuple[int, int], what: str) -> Array:
    """Channels from -1 to 1 on 1 to 255; 128 is exactly 0."""
    values = np.asarray(_checked(data, "vectors", what, size)).astype(np.float32)
    return ((values - 128) / 127).clip(-1, 1)


def read_segments(
    data: bytes, size: tuple[int, int], what: str = "the segments"
) -> NDArray[np.int64]:
    """Label numbers (H, W) from an indexed or greyscale picture."""
    values = np.asarray(_checked(data, "segments", what, size)).astype(np.int64)
    values.flags.writeable = False
    return values


def read_colours(data: bytes, what: str = "the exemplar") -> Array:
    """Colours (H, W, 3) in [0, 1] of any size; transparent parts are laid on white."""
    picture = _checked(data, "exemplar", what, None)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("RGBA", "LA", "P"):
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return _frozen(np.asarray(picture.convert("RGB")).astype(np.float32) / np.float32(255))


def resize(values: Array, height: int, width: int) -> Array:
    """Resample (H, W) or (H, W, C) by area when shrinking and linearly when growing.

    A mask stays in [0, 1] and a constant stays constant, because the weights sum to one.
    """
    for axis, size in ((0, height), (1, width)):
        values = np.moveaxis(
            np.tensordot(_weights(values.shape[axis], size), values, (1, axis)), 0, axis
        )
    return _frozen(values.astype(np.float32))


def _weights(old: int, new: int) -> NDArray[np.float64]:
    """Weights (new, old), rows summing to one: areas when shrinking, linear when growing."""
    if old < 1 or new < 1:
        raise ShapeError("a picture cannot be resized", got=f"{old} to {new}", expected=">= 1")
    if new <= old:
        edges = np.arange(new + 1)[:, None] * old / new
        left, right = np.arange(old)[None, :], np.arange(1, old + 1)[None, :]
        weights = np.clip(np.minimum(right, edges[1:]) - np.maximum(left, edges[:-1]), 0, None)
    else:
        centre = (np.arange(new) + 0.5) * old / new - 0.5
        distance = np.abs(np.arange(old)[None, :] - centre[:, None].clip(0, old - 1))
        weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(1, keepdims=True)
