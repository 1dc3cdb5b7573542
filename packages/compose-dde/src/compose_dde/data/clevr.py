"""CLEVR pictures with the position of one object, as "Reduce, Reuse, Recycle" released them.

An npz file with `ims` (N, H, W, 3) bytes and `coords_labels` (N, 2), x and y in [0, 1]; the paper
used 30,000 pictures of 128 x 128, made half as large. Files with pickled objects are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import LongTensor, Tensor
from torch.nn import functional as F

from compose_core.errors import ComposeError, UsageError

__all__ = ["ClevrPositions"]

_PICTURES, _POSITIONS = "ims", "coords_labels"


@final
class ClevrPositions:
    """Pictures and positions: `{"x": (B, 3, size, size), "positions": (B, 1, 2)}`.

    Pictures are `v / 127.5 - 1`. A negative position in the file means that none is known.

    Args:
        path: The npz file.
        size: Cells of a picture on each axis; a divisor of the file's.
        upwards: Whether y grows upwards in the file; everywhere else in this project it grows
            downwards. The release does not say: look at a few pictures.

    Raises:
        ComposeError: The file is missing, damaged, holds pickled objects or other arrays.
        UsageError: The pictures cannot be made that small by whole numbers.
    """

    def __init__(self, path: str | Path, size: int = 64, *, upwards: bool = False) -> None:
        pictures, positions = _read(Path(path))
        side = pictures.shape[1]
        if size < 1 or side % size:
            raise UsageError(
                "pictures are made smaller by whole numbers only",
                got=f"{side} to {size}",
                expected=f"a divisor of {side}",
            )
        self.size = size
        self._pictures = torch.from_numpy(pictures)
        known = torch.from_numpy(positions.astype(np.float32))
        if upwards:
            turned = torch.stack([known[:, 0], 1 - known[:, 1]], 1)
            known = torch.where(known.amin(1, keepdim=True) < 0, known, turned)
        self.positions = torch.where(known.amin(1, keepdim=True) < 0, -1.0, known)

    def __len__(self) -> int:
        """How many pictures."""
        return len(self._pictures)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Samples by number."""
        x = self._pictures[indices].permute(0, 3, 1, 2).float() / 127.5 - 1
        x = F.avg_pool2d(x, x.shape[-1] // self.size)
        return {"x": x, "positions": self.positions[indices][:, None]}


def _read(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    if not path.is_file():
        raise ComposeError("the file of pictures does not exist", got=path)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = set(file.files)
            wanted = [name for name in (_PICTURES, _POSITIONS) if name in names]
            found = [np.asarray(file[name]) for name in wanted]  # bytes, if it is no array
    except Exception as error:  # zip, zlib, the header's parser: nearly anything on damaged files
        raise ComposeError(
            "the file of pictures cannot be read",
            got=f"{path}: {type(error).__name__}: {error}".splitlines()[0],
            expected="an npz file of plain arrays",
        ) from error
    if len(found) < 2:
        hint = "the variant with shapes and relations" if "arr_0" in names else "another"
        raise ComposeError(
            "this is not the file of positions",
            got=f"{path}: {hint}, with {', '.join(sorted(names)) or 'nothing'}",
            expected=f"arrays {_PICTURES} and {_POSITIONS}",
        )
    pictures, positions = found
    fits = pictures.ndim == 4 and pictures.shape[3] == 3 and pictures.dtype == np.uint8
    square = fits and pictures.shape[1] == pictures.shape[2]
    pairs = positions.shape == (*pictures.shape[:1], 2) and positions.dtype.kind in "fiu"
    if not square or not pairs or not pictures.size:
        raise ComposeError(
            "the arrays do not fit together",
            got=f"{path}: {_PICTURES} {pictures.dtype} {pictures.shape}, "
            f"{_POSITIONS} {positions.dtype} {positions.shape}",
            expected="bytes (N, S, S, 3) and numbers (N, 2)",
        )
    if not np.isfinite(positions).all() or positions.max() > 1:
        raise ComposeError(
            "positions lie outside the picture",
            got=f"{path}: up to {positions.max():g}",
            expected="x and y from 0 to 1, or negative for none",
        )
    return pictures, positions
