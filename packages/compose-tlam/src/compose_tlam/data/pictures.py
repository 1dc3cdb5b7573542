"""Files of data sets as tensors, with the file in every message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import SceneError
from compose_core.images import open_picture, read_bytes

__all__ = ["at_size", "colours", "plane"]


def plane(path: Path, modes: Sequence[str]) -> Tensor:
    """One or more channels of integers as they are stored: (H, W) or (H, W, C) int64.

    Args:
        path: Of a picture.
        modes: Pillow's modes that are taken.

    Raises:
        SceneError: The file is missing, damaged, or of another mode.
    """
    picture = open_picture(read_bytes(path, f"the file {path}"), f"the file {path}")
    if picture.mode not in modes:
        raise SceneError(
            f"the file {path} has the wrong mode", got=picture.mode, expected=" or ".join(modes)
        )
    try:
        picture.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise SceneError(f"the file {path} is damaged", got=error) from error
    return torch.from_numpy(np.array(picture).astype(np.int64))


def colours(path: Path) -> Tensor:
    """A picture (3, H, W) in [0, 1].

    Raises:
        SceneError: As `plane`.
    """
    return plane(path, ("RGB",)).permute(2, 0, 1).float() / 255


def at_size(pictures: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Pictures (B, 3, H, W) in [0, 1] at another size: bicubic, without aliases."""
    if size is None or tuple(pictures.shape[-2:]) == size:
        return pictures
    return F.interpolate(
        pictures, size=size, mode="bicubic", antialias=True, align_corners=False
    ).clamp(0, 1)
