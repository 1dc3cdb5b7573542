"""What `CnCPipeline` is given: pictures in any usual form, one for all or one for each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from compose_core.errors import SceneError, ShapeError, UsageError
from compose_core.images import check_depth, check_mask

__all__ = ["Picture", "Pictures", "as_depth", "as_exemplar", "as_mask", "for_each"]

Picture: TypeAlias = "Image.Image | NDArray[Any] | Tensor"
"""A PIL picture, an array (H, W) or (H, W, C), or a tensor (H, W) or (C, H, W). Numbers of 8 and
16 bit count from 0 to 255 and to 65535, others from 0 to 1."""

Pictures: TypeAlias = "Picture | Sequence[Picture | None] | None"
"""One for all prompts; or a list, or a batch (B, C, H, W), with one for each: None is none."""

_PLAIN = ("1", "L", "RGB", "I;16", "I;16B", "I;16L", "I", "F")
"""Modes of PIL whose numbers are taken as they are; others, such as palettes, become RGBA."""

_WIDE = ("I;16", "I;16B", "I;16L", "I", "F")
"""Those among them whose numbers PIL would cut at 255 on the way to colour."""


def for_each(given: Any, count: int, name: str) -> list[Any]:
    """One value for each of `count` prompts.

    Raises:
        UsageError: There are several, but not one for each.
    """
    several = isinstance(given, (list, tuple))
    if isinstance(given, Tensor) and given.dim() == 4:
        given, several = list(given), True
    if not several:
        return [given] * count
    if len(given) != count:
        raise UsageError(
            f"{name} and the prompts do not match",
            got=f"{len(given)} and {count}",
            expected="one for all prompts, or one for each",
        )
    return list(given)


def as_depth(given: Picture, name: str) -> Tensor:
    """Depth (H, W) in [0, 1], near is 1, stretched to the whole range.

    Raises:
        ShapeError: It is in colour, not a picture, constant, or holds what is no number.
    """
    return _checked(check_depth, _grey(given, name), name)


def as_mask(given: Picture, name: str) -> Tensor:
    """A mask (H, W) in [0, 1].

    Raises:
        ShapeError: As `as_depth`; or it is empty.
    """
    values = _grey(given, name)
    if values.size and np.isfinite(values).all() and not (0 <= values.min() <= values.max() <= 1):
        raise ShapeError(
            f"{name} leaves its range",
            got=f"values from {values.min():.4g} to {values.max():.4g}",
            expected="values from 0 to 1, or numbers of 8 or 16 bit",
        )
    return _checked(check_mask, values, name)


def as_exemplar(given: Any, name: str) -> Tensor:
    """An exemplar (3, H, W) in [-1, 1]; an embedding (D,) stays as it is.

    Transparent parts are laid on white; grey becomes colour; a photo is turned upright, as its
    camera noted.

    Raises:
        ShapeError: It is no picture, leaves [0, 1], or is an embedding with holes.
    """
    if getattr(given, "ndim", 0) == 1:
        return _embedding(given, name)
    if isinstance(given, Image.Image) and given.mode not in _WIDE:
        clear = _converted(ImageOps.exif_transpose(_read(given, name)), name)
        given = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    values = _values(given, name)
    values = values[..., None] if values.ndim == 2 else values
    values = np.repeat(values, 3, 2) if values.shape[2] == 1 else values
    good = values.size > 0 and values.shape[2] in (3, 4) and bool((0 <= values).all())
    if not good or not (values <= 1).all():
        span = f", values from {values.min():.4g} to {values.max():.4g}" if values.size else ""
        raise ShapeError(
            f"{name} is no picture in colour",
            got=f"{values.shape}{span}",
            expected="1, 3 or 4 channels from 0 to 1, or numbers of 8 or 16 bit",
        )
    if values.shape[2] == 4:
        values = values[..., :3] * values[..., 3:] + (1 - values[..., 3:])
    return torch.tensor(values).movedim(-1, 0) * 2 - 1


def _embedding(given: Any, name: str) -> Tensor:
    found = torch.as_tensor(given)
    if not found.is_floating_point() or not bool(found.isfinite().all()):
        raise ShapeError(
            f"{name} is no embedding",
            got=f"{tuple(found.shape)}, {found.dtype}",
            expected="(D,), floating point, all of them numbers",
        )
    return found


def _grey(given: Picture, name: str) -> NDArray[np.float32]:
    """(H, W); colour is taken where all channels agree, as depth estimators write it."""
    values = _values(given, name)
    if values.ndim == 2:
        return values
    if values.shape[2] == 4 and (values[..., 3] == 1).all():
        values = values[..., :3]
    if values.shape[2] in (1, 3) and _alike(values):
        return values[..., 0]
    raise ShapeError(
        f"{name} is not grey",
        got=f"an array of shape {values.shape}",
        expected="one channel, or three equal ones, and nothing transparent",
        remedy="depth and masks have no colour: convert the picture to greyscale",
    )


def _alike(values: NDArray[np.float32]) -> bool:
    """Whether all channels agree; what is no number in all of them does, and is refused later."""
    return bool(np.array_equal(values, np.broadcast_to(values[..., :1], values.shape), True))


def _values(given: Any, name: str) -> NDArray[np.float32]:
    """(H, W) or (H, W, C), floating point; 8-bit values are divided by 255."""
    if isinstance(given, Tensor):
        given = (given.movedim(0, -1) if given.dim() == 3 else given).detach().cpu()
        given = (given.float() if given.is_floating_point() else given).numpy()
    if isinstance(given, Image.Image):
        given = _read(given, name)
        given = np.asarray(given if given.mode in _PLAIN else _converted(given, name))
    if not isinstance(given, np.ndarray) or given.ndim not in (2, 3) or given.dtype.kind in "OUSc":
        raise ShapeError(
            f"{name} is no picture",
            got=getattr(given, "shape", type(given).__name__),
            expected="a PIL picture, an array (H, W) or (H, W, C), a tensor (H, W) or (C, H, W)",
        )
    numbers = cast("NDArray[Any]", given)
    white = {"u1": 255.0, "u2": 65535.0}.get(numbers.dtype.str[1:], 1.0)
    return numbers.astype(np.float32) / np.float32(white)


def _read(given: Image.Image, name: str) -> Image.Image:
    """The same picture, all of its pixels read: files are opened long before that."""
    try:
        given.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise ShapeError(
            f"{name} cannot be read", got=f"{type(error).__name__}: {error}"
        ) from error
    return given


def _converted(given: Image.Image, name: str) -> Image.Image:
    """The picture as RGBA."""
    try:
        return given.convert("RGBA")
    except ValueError as error:
        raise ShapeError(
            f"{name} is of a kind of picture that has no colours", got=f"mode {given.mode}"
        ) from error


def _checked(check: Any, values: NDArray[np.float32], name: str) -> Tensor:
    try:
        return torch.tensor(np.array(check(values, name)))
    except SceneError as error:  # said of the files of a scene; here there are none
        raise ShapeError(
            error.what, got=error.got, expected=error.expected, remedy=error.remedy
        ) from error
