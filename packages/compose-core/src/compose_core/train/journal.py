"""What a run leaves for people: a log of numbers, pictures, and TensorBoard events if wanted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compose_core.errors import UsageError
from compose_core.zoo.home import place_text


class Journal:
    """Writes ``log.jsonl`` (one JSON object per step) and ``pictures/step-*.png``."""

    def __init__(self, folder: Path, *, after: int, tensorboard: bool) -> None:
        """Continue the log after step ``after``; later lines of an interrupted run are dropped.

        Raises:
            UsageError: TensorBoard is wanted and not installed.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._board = _board(folder) if tensorboard else None
        path = folder / "log.jsonl"
        if path.exists():
            place_text(path, "".join(_lines_until(path, after)))
        self._log = path.open("a", encoding="utf-8")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the numbers of one step."""
        self._log.write(json.dumps({"step": step, **values}) + "\n")
        self._log.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def show(self, step: int, pictures: Tensor) -> Path:
        """Save ``pictures`` (N, 3, H, W) in [-1, 1] as one grid, and return its path."""
        grid = contact_sheet(pictures)
        path = self.folder / "pictures" / f"step-{step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(grid).save(path)
        if self._board is not None:
            self._board.add_image("pictures", grid, step, dataformats="HWC")
        return path

    def close(self) -> None:
        """Close the files."""
        self._log.close()
        if self._board is not None:
            self._board.close()


def contact_sheet(pictures: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A nearly square grid (H', W', 3) of ``pictures`` (N, 3, H, W) in [-1, 1], in bytes."""
    count, channels, height, width = pictures.shape
    columns = max(1, int(np.ceil(np.sqrt(count))))
    rows = -(-count // columns)
    bytes_ = ((pictures.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round()
    cells = torch.full((rows * columns, channels, height, width), 255.0)
    cells[:count] = bytes_
    grid = cells.view(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    return grid.reshape(rows * height, columns * width, channels).to(torch.uint8).numpy()


def _lines_until(path: Path, step: int) -> list[str]:
    kept: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # the last line of a run that was killed while writing
    return kept


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "TensorBoard logging was asked for, but TensorBoard is not installed.",
            remedy="pip install tensorboard, or leave tensorboard = False",
        ) from error
    return SummaryWriter(str(folder / "tensorboard"))
