"""Schematic maps and satellite pictures of the same places, as pairs of files.

Either two folders whose files have the same names, or one folder with both in each file, side by
side. The paper's 7,300 pairs were never released.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import LongTensor, Tensor

from compose_core.errors import ComposeError, UsageError

__all__ = ["PairedMaps", "SideBySide"]

_KINDS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


class _Pairs(ABC):
    """Pairs of pictures: `{"x": (B, 3, size, size), "map": (B, 3, size, size)}`, both in [-1, 1].

    Args:
        size: Cells on each axis, after a square is cut out of the middle.
        crop: Cells of that square; by default as large as fits. The paper: 512 of 600, to 128.

    Raises:
        UsageError: A number is not positive.
    """

    def __init__(self, size: int, crop: int | None) -> None:
        if size < 1 or (crop is not None and crop < 1):
            raise UsageError("pictures have a size", got=(size, crop), expected="above 0")
        self.size, self.crop = size, crop

    @abstractmethod
    def __len__(self) -> int:
        """How many pairs."""

    @abstractmethod
    def pair(self, index: int) -> tuple[Image.Image, Image.Image]:
        """Map and satellite picture number ``index``, as they are in the files."""

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Pairs by number."""
        pairs = [self.pair(int(index)) for index in indices]
        return {
            "x": torch.stack([self._tensor(picture) for _, picture in pairs]),
            "map": torch.stack([self._tensor(chart) for chart, _ in pairs]),
        }

    def _tensor(self, image: Image.Image) -> Tensor:
        side = min(image.size) if self.crop is None else self.crop
        if side > min(image.size):
            raise ComposeError(
                "a picture is smaller than what is to be cut out of it",
                got=image.size,
                expected=f"{side} or more on each side",
            )
        left, top = (image.width - side) // 2, (image.height - side) // 2
        cut = image.crop((left, top, left + side, top + side))
        if side != self.size:
            cut = cut.resize((self.size, self.size), Image.Resampling.BOX)
        return torch.from_numpy(np.asarray(cut).copy()).permute(2, 0, 1).float() / 127.5 - 1


@final
class PairedMaps(_Pairs):
    """Two folders; a map and its picture have the same name, the ending apart.

    Args:
        maps: Folder of the maps.
        pictures: Folder of the satellite pictures.
        size: Cells on each axis.
        crop: See `SideBySide`.

    Raises:
        ComposeError: A folder is missing or empty, or files have no partner.
    """

    def __init__(
        self, maps: str | Path, pictures: str | Path, size: int = 128, *, crop: int | None = None
    ) -> None:
        super().__init__(size, crop)
        charts, seen = _files(Path(maps)), _files(Path(pictures))
        alone = sorted(charts.keys() ^ seen.keys())
        if alone:
            raise ComposeError(
                "maps and pictures do not belong together",
                got=f"{len(alone)} without a partner: {', '.join(alone[:4])}",
                expected="files of the same names in both folders",
            )
        self._paths = [(charts[name], seen[name]) for name in sorted(charts)]

    def __len__(self) -> int:
        """How many pairs."""
        return len(self._paths)

    def pair(self, index: int) -> tuple[Image.Image, Image.Image]:
        """See the class of pairs.

        Raises:
            ComposeError: A file is damaged, or the two differ in size.
        """
        paths = self._paths[index]
        chart, seen = (_opened(path) for path in paths)
        if chart.size != seen.size:
            raise ComposeError(
                "a map and its picture differ in size",
                got=f"{paths[0]}: {chart.size}, {paths[1]}: {seen.size}",
            )
        return chart, seen


@final
class SideBySide(_Pairs):
    """One folder; each file holds a map and its picture beside one another.

    Args:
        folder: Of the files.
        size: Cells on each axis.
        crop: Cells of the square that is cut out of the middle first; by default the largest.
        map_on: The side of the map. The data set `maps` of pix2pix has it on the right.

    Raises:
        ComposeError: The folder is missing or empty.
        UsageError: An unknown side.
    """

    def __init__(
        self,
        folder: str | Path,
        size: int = 128,
        *,
        crop: int | None = None,
        map_on: Literal["left", "right"] = "right",
    ) -> None:
        super().__init__(size, crop)
        if map_on not in ("left", "right"):
            raise UsageError("unknown side of the map", got=map_on, expected="left or right")
        self._right = map_on == "right"
        found = _files(Path(folder))
        self._paths = [found[name] for name in sorted(found)]

    def __len__(self) -> int:
        """How many pairs."""
        return len(self._paths)

    def pair(self, index: int) -> tuple[Image.Image, Image.Image]:
        """See the class of pairs.

        Raises:
            ComposeError: A file is damaged, or not twice as wide as a picture.
        """
        path = self._paths[index]
        both = _opened(path)
        if both.width % 2:
            raise ComposeError(
                "a file cannot be two pictures of equal width", got=f"{path}: {both.size}"
            )
        half = both.width // 2
        left = both.crop((0, 0, half, both.height))
        right = both.crop((half, 0, both.width, both.height))
        return (right, left) if self._right else (left, right)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ComposeError("the folder of pictures does not exist", got=folder)
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _KINDS and path.is_file():
            if path.stem in found:
                raise ComposeError(
                    "two pictures have the same name", got=f"{found[path.stem]} and {path}"
                )
            found[path.stem] = path
    if not found:
        raise ComposeError(
            "the folder holds no pictures", got=folder, expected=", ".join(sorted(_KINDS))
        )
    return found


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ComposeError("a picture cannot be read", got=f"{path}: {error}") from error
