"""What a disentanglement task is fed with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import LongTensor, Tensor

from compose_cnc.data import TripletDataset

__all__ = ["Samples", "TripletSamples"]


class Samples(Protocol):
    """Triplets with everything that was read off them, as batches of tensors.

    A batch holds, of B samples:

    - `latent` (B, C, h, w), or `picture` (B, 3, H, W) in [-1, 1], which is then encoded;
    - `tokens` (B, L), numbers of the tokenizer; or (B, M, L), M captions of which one is drawn;
    - for the local fuser `depth_fg` and `depth_bg` (B, 3, H, W) in [0, 1], near is 1;
    - for the global fuser `embedding_fg` and `embedding_bg` (B, E), and `mask` (B, 1, H, W), 1 in
      the foreground.

    Data of one depth map or one exemplar have only those of `fg`.
    """

    def __len__(self) -> int:
        """The number of samples."""
        ...

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """The samples of these numbers (B,): always the same for the same."""
        ...


class TripletSamples:
    """The triplets that `compose cnc triplets` wrote.

    Args:
        folder: Of the data set.
        tokenizer: A `CLIPTokenizer`.
        workers: Threads that read files.

    Raises:
        UsageError: The data set is empty or not finished.
    """

    def __init__(self, folder: str | Path, tokenizer: Any, workers: int = 8) -> None:
        self.data = TripletDataset(folder)
        self.tokenizer = tokenizer
        self._pool = ThreadPoolExecutor(workers)

    @property
    def embedding_dim(self) -> int:
        """Width of the exemplars' embeddings."""
        return len(self.data[0]["embedding_fg"])

    def __len__(self) -> int:
        """The number of triplets."""
        return len(self.data)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """These triplets; a picture with fewer captions than another repeats its own.

        Raises:
            WeightsError: A file is missing or was changed.
        """
        items = list(self._pool.map(self.data.__getitem__, indices.tolist()))
        names = ("picture", "depth_fg", "depth_bg", "mask", "embedding_fg", "embedding_bg")
        found = {name: torch.stack([item[name].float() for item in items]) for name in names}
        found["picture"] = found["picture"] * 2 - 1
        return {**found, "tokens": self._tokens([item["captions"] for item in items])}

    def _tokens(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """(B, M, L); of unequal numbers of captions the common multiple, so that none is rarer."""
        most = max(map(len, captions), default=0)
        said = [tuple(some) or ("",) for some in captions]
        count = _common([len(some) for some in said]) if most else 1
        flat = [some[i % len(some)] for some in said for i in range(count)]
        ids = self.tokenizer(flat, padding="max_length", truncation=True, return_tensors="pt")
        return ids.input_ids.unflatten(0, (len(said), count))


def _common(counts: Sequence[int], most: int = 60) -> int:
    """The least common multiple, or `most` where it is larger."""
    return min(math.lcm(*counts), most)
