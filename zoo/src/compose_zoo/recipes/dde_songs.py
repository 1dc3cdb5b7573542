"""Songs of the procedural band as training data: stretches of stems, and what is known of them."""

from __future__ import annotations

from pathlib import Path
from typing import final

import torch
from torch import LongTensor, Tensor

from compose_core.train.order import derive
from compose_worlds.stems import cache

RATE = 4_000
"""Samples in a second.

The band's pitches lie below 1050 Hz and its cymbals reach down to 500 Hz, so half of this rate
holds the music, as a telephone would. A window of 4 s is then 16,384 samples, which a network of
1.6M parameters learns on two cores; at 22,050 Hz it would be 90,000.
"""

GAIN = 4.0
"""Stems have a standard deviation of 0.05; models hear them at 0.2, as those of the paper."""

SIGMA_DATA = 0.2
CLIP = 2**17
"""Samples of a cached stretch: 32.8 s, eight windows."""

SONGS = range(0, 1024)
CROPS = 64
"""Places in a song that an epoch begins at."""


@final
class Songs:
    """Random stretches of cached songs: `{"x": (B, 4, frames)}`, at the level models hear.

    Args:
        folder: Of the cache.
        frames: Samples of a stretch; at most `CLIP`.
        songs: Their numbers.
    """

    def __init__(self, folder: Path, frames: int, songs: range = SONGS) -> None:
        self.stems = cache.load(folder, songs, RATE, CLIP)
        self.frames = frames

    def __len__(self) -> int:
        """Places in songs."""
        return CROPS * len(self.stems)

    def place(self, index: int) -> tuple[int, int]:
        """Row of the song and first sample of sample number ``index``."""
        spare = CLIP - self.frames
        start = derive(0, "crop", index) % (spare + 1)
        return index % len(self.stems), start

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Stretches by number."""
        cut: list[Tensor] = []
        for index in indices.tolist():
            row, start = self.place(index)
            cut.append(self.stems[row, :, start : start + self.frames])
        return {"x": torch.stack(cut).float() * (GAIN / cache.SCALE)}
