"""Whether borders between pieces of a sound can be heard: how the spectrum changes there.

The flux at a moment is the mean over frequency of |log magnitude now - log magnitude before|, in
Hann windows of 16 ms every 4 ms. A click or a sudden change of sound makes it large; so does every
drum. Therefore the highest flux within 16 ms of a border is compared with the highest flux within
as long a time anywhere else in the same sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.audio.waves import checked_wave
from compose_metrics.metric import Keys, PerSample
from compose_metrics.result import JSON, Result

WINDOW, HOP, REACH, ASIDE = 0.016, 0.004, 0.016, 0.1
"""Seconds: of a window, between two, around a border, and around it where nothing is compared."""

FLOOR = 1e-4
"""Added to magnitudes, so that the hiss of silence is no change."""


def flux(samples: Tensor, rate: int) -> Tensor:
    """Change of the spectrum (F,) between windows centred every `HOP` seconds; 0 at the start."""
    size, hop = max(8, round(WINDOW * rate)), max(1, round(HOP * rate))
    padded = F.pad(samples.double()[None, None], (size // 2, size // 2), "reflect")[0, 0]
    window = torch.hann_window(size, dtype=torch.float64, device=samples.device)
    magnitudes = torch.fft.rfft(padded.unfold(0, size, hop) * window).abs() * (2 / size)
    change = (magnitudes + FLOOR).log().diff(dim=0).abs().mean(1)
    return F.pad(change, (1, 0))


def border_peaks(samples: Tensor, borders: Sequence[int], rate: int) -> tuple[Tensor, Tensor]:
    """The highest flux at each border (K,), and around every moment far from all of them (M,).

    Args:
        samples: (T,).
        borders: First samples of pieces, all within the sound.
        rate: Samples in a second.

    Raises:
        UsageError: There is no border, or one lies outside.
        ShapeError: The sound is so short that nothing is left to compare with.
    """
    if not borders or not all(0 < border < len(samples) for border in borders):
        raise UsageError(
            "borders lie inside a sound",
            got=list(borders),
            expected=f"one or more between 1 and {len(samples) - 1}",
        )
    if len(samples) < 4 * WINDOW * rate:
        raise ShapeError("the sound is too short to have a border", got=f"{len(samples)} samples")
    hop = max(1, round(HOP * rate))
    reach = max(1, round(REACH / HOP))
    highest = F.max_pool1d(flux(samples, rate)[None], 2 * reach + 1, 1, reach)[0]
    centres = torch.tensor([round(border / hop) for border in borders])
    moments = torch.arange(len(highest))
    gaps = (moments[:, None] - centres).abs().amin(1)
    # The first and last windows see what was reflected.
    inner = (moments > reach) & (moments < len(highest) - reach)
    inside = highest[inner & (gaps * HOP >= ASIDE)]
    if not len(inside):
        raise ShapeError(
            "nothing lies far from all borders",
            got=f"{len(borders)} borders in {len(samples) / rate:.2f} s",
            expected=f"some time {ASIDE:g} s or more away from them",
        )
    return highest[centres.clamp_max(len(highest) - 1)], inside


@final
class SeamAudibility(PerSample):
    """Flux at borders over flux elsewhere: 1 where borders cannot be told from the rest.

    The mean over sounds of (mean of the border peaks) / (mean of the other peaks). The part
    ``rank`` is the mean share of other moments with a lower peak: one half where borders are
    nothing special, whatever the music.
    """

    id = "seam-audibility"
    higher_is_better = False

    def params(self) -> dict[str, JSON]:
        """All lengths."""
        return {"window": WINDOW, "hop": HOP, "reach": REACH, "aside": ASIDE, "floor": FLOOR}

    def update(
        self,
        sounds: Sequence[Tensor] | Tensor,
        borders: Sequence[Sequence[int]],
        *,
        rate: int,
        keys: Keys = None,
    ) -> None:
        """Take sounds.

        Args:
            sounds: Waves (T,) or (C, T), full scale 1; channels are averaged.
            borders: Samples at which pieces of each sound meet: where a window begins or ends.
            rate: Samples in a second of all of them.
            keys: Sample numbers.

        Raises:
            ShapeError: Not as many borders as sounds, no wave, or too short a sound.
            UsageError: A border outside of its sound, or none.
            ComposeError: A sound is silent everywhere else.
        """
        waves = list(sounds)
        if len(waves) != len(borders):
            raise ShapeError(
                "each sound has its borders", got=f"{len(waves)} sounds, {len(borders)} lists"
            )
        values: list[float] = []
        ranks: list[float] = []
        for i, (wave, places) in enumerate(zip(waves, borders, strict=True)):
            at, inside = border_peaks(checked_wave(wave, f"sound {i}"), places, rate)
            if float(inside.mean()) <= 0:
                raise ComposeError(
                    f"sound {i} is silent", got="no change anywhere", remedy="leave it out"
                )
            values.append(float(at.mean() / inside.mean()))
            below = (inside < at[:, None]).double() + 0.5 * (inside == at[:, None]).double()
            ranks.append(float(below.mean()))
        columns = torch.tensor([values, ranks], dtype=torch.float64)
        self.add(keys, value=columns[0], rank=columns[1])

    def compute(self) -> Result:
        """The mean ratio, with a bootstrap interval over the sounds."""
        found = super().compute()
        rank = float(self.rows()["rank"].mean())
        return self._result(
            found.value,
            interval=found.interval,
            per_sample=found.per_sample,
            keys=found.keys,
            parts={"rank": rank},
        )
