"""Reading triplets for training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from compose_cnc.data.manifest import read_manifest
from compose_cnc.data.store import load_item
from compose_core.errors import UsageError

__all__ = ["TripletDataset"]


class TripletDataset(Dataset[dict[str, Any]]):
    """Triplets that `compose cnc triplets` made.

    An item is a dict:

    - `picture`, `foreground`, `background`: (3, H, W) float32 in [0, 1];
    - `mask`: (1, H, W), 0 or 1;
    - `depth`, `depth_fg`, `depth_bg`: (3, H, W) in [0, 1], near is 1, three equal channels, as
      `LocalFuser` takes them;
    - `embedding_fg`, `embedding_bg`: (D,);
    - `caption`: the chosen one; `captions`: all of them, a tuple; `id`.

    Every file is checked against the manifest when it is read.

    Args:
        folder: The data set.

    Raises:
        UsageError: It is not finished, or there is nothing in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self._digests: dict[str, str] = self.manifest["items"]
        self.ids = tuple(self._digests)
        if not self.ids:
            raise UsageError("the data set is empty", got=self.folder)

    def __len__(self) -> int:
        """Number of triplets."""
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one triplet.

        Raises:
            WeightsError: A file is missing or was changed.
        """
        name = self.ids[index]
        found = load_item(self.folder, name, self._digests[name])
        for depth in ("depth", "depth_fg", "depth_bg"):
            found[depth] = found[depth].expand(3, -1, -1)
        return {"id": name, **found}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """All of them, in order."""
        return (self[i] for i in range(len(self)))
