"""The files that scenes of suites name, whose own names say what they hold.

A name carries the hash of the pixels, so two documents are equal only if their files are: the
digest of items and the comparison of pictures with their items need not look into files.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from compose_core.scene import Assets

__all__ = ["Files"]


class Files:
    """Collects the files of one scene."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def mask(self, values: Tensor) -> str:
        """Name of the file of a mask (H, W) bool."""
        return self._keep("mask", values.cpu().numpy().astype(np.uint8) * 255)

    def depth(self, values: Tensor) -> str:
        """Name of the file, 16 bit, of a map (H, W) in [0, 1], near is 1."""
        levels = (values.double() * 65535).round().cpu().numpy().astype(np.uint16)
        return self._keep("depth", levels)

    def picture(self, values: Tensor) -> str:
        """Name of the file of a picture (3, H, W) in [0, 1]."""
        levels = (values * 255).round().permute(1, 2, 0).cpu().numpy().astype(np.uint8)
        return self._keep("picture", levels)

    def numbers(self, values: Tensor) -> str:
        """Name of the file of class numbers (H, W) below 256."""
        return self._keep("numbers", values.cpu().numpy().astype(np.uint8))

    def edges(self, values: Tensor) -> str:
        """Name of the file, 8 bit, of strengths (H, W) in [0, 1]."""
        levels = (values * 255).round().cpu().numpy().astype(np.uint8)
        return self._keep("edges", levels)

    def signed(self, kind: str, values: Tensor) -> str:
        """Name of the file of up to three channels (C, H, W) in [-1, 1]; 0 is level 128."""
        levels = (values * 127 + 128).round().clamp(0, 255).permute(1, 2, 0)
        full = torch.nn.functional.pad(levels, (0, 3 - levels.shape[2]))
        return self._keep(kind, full.cpu().numpy().astype(np.uint8))

    def points(self, values: Mapping[str, tuple[float, float]]) -> str:
        """Name of the file of keypoints, x and y as fractions of the canvas."""
        data = json.dumps(values).encode()
        name = f"points-{hashlib.sha256(data).hexdigest()[:16]}.json"
        self._kept[name] = data
        return name

    def assets(self) -> Assets:
        """All of them."""
        return Assets(self._kept)

    def _keep(self, kind: str, pixels: NDArray[np.generic]) -> str:
        pixels = np.ascontiguousarray(pixels)
        little = pixels.astype(pixels.dtype.newbyteorder("<"))
        name = f"{kind}-{hashlib.sha256(little.tobytes()).hexdigest()[:16]}.png"
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        self._kept[name] = stream.getvalue()
        return name
