"""What `CnCPipeline` is given: pictures in any usual form, one for all or one for each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from compose_core.errors import SceneError, ShapeError, UsageError
from compose_core.images import check_depth, check_mask

__all__ = ["Picture", "Pictures", "as_depth", "as_exemplar", "as_mask", "for_each"]

Picture: TypeAlias = "Image.Image | NDArray[Any] | Tensor"
"""A PIL picture, an array (H, W) or (H, W, C), or a tensor (H, W) or (C, H, W). Numbers of 8 and
16 bit count from 0 to 255 and to 65535, others from 0 to 1."""

Pictures: TypeAlias = "Picture | Sequence[Picture | None] | None"
"""One for all prompts; or a list, or a batch (B, C, H, W), with one for each: None is none."""

T = TypeVar("T")


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


def as_exemplar(given: Picture, name: str) -> Tensor:
    """An exemplar (3, H, W) in [-1, 1]; an embedding (D,) stays as it is.

    Transparent parts are laid on white; grey becomes colour.

    Raises:
        ShapeError: It is no picture, or leaves [0, 1].
    """
    if isinstance(given, Tensor) and given.dim() == 1:
        return given
    if isinstance(given, Image.Image):
        clear = given.convert("RGBA")
        given = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
        given = given.convert("RGB")
    values = _values(given, name)
    values = values[..., None] if values.ndim == 2 else values
    values = np.repeat(values, 3, 2) if values.shape[2] == 1 else values
    if values.shape[2] != 3 or not ((values >= 0) & (values <= 1)).all():
        raise ShapeError(
            f"{name} is no picture in colour",
            got=f"{values.shape}, values from {values.min():.4g} to {values.max():.4g}",
            expected="1 or 3 channels from 0 to 1, or numbers of 8 or 16 bit",
        )
    return torch.tensor(values).movedim(-1, 0) * 2 - 1


def _grey(given: Picture, name: str) -> NDArray[np.float32]:
    """(H, W); colour is taken where all channels agree, as depth estimators write it."""
    values = _values(given, name)
    if values.ndim == 2:
        return values
    if values.shape[2] in (1, 3) and (values == values[..., :1]).all():
        return values[..., 0]
    raise ShapeError(
        f"{name} is not grey",
        got=f"an array of shape {values.shape}",
        expected="one channel, or three equal ones",
        remedy="depth and masks have no colour: convert the picture to greyscale",
    )


def _values(given: Picture, name: str) -> NDArray[np.float32]:
    """(H, W) or (H, W, C), floating point; 8-bit values are divided by 255."""
    if isinstance(given, Tensor):
        given = (given.movedim(0, -1) if given.dim() == 3 else given).detach().cpu().numpy()
    if isinstance(given, Image.Image):
        known = ("1", "L", "RGB", "I;16", "I", "F")
        given = np.asarray(given if given.mode in known else given.convert("RGB"))
    if not isinstance(cast(object, given), np.ndarray) or given.ndim not in (2, 3):
        raise ShapeError(
            f"{name} is no picture",
            got=getattr(given, "shape", type(given).__name__),
            expected="a PIL picture, an array (H, W) or (H, W, C), a tensor (H, W) or (C, H, W)",
        )
    scale = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(given.dtype, 1.0)
    return given.astype(np.float32) / np.float32(scale)


def _checked(check: Any, values: NDArray[np.float32], name: str) -> Tensor:
    try:
        return torch.tensor(np.array(check(values, name)))
    except SceneError as error:  # said of the files of a scene; here there are none
        raise ShapeError(
            error.what, got=error.got, expected=error.expected, remedy=error.remedy
        ) from error
