"""What can be heard in a sound, whoever made it: tempo, key, chords.

Plain signal processing, no network. It shares with the band only that pitches are tempered at
A = 440 Hz and that tempi lie within the range of `song`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import ShapeError
from compose_worlds.stems.song import FASTEST, SLOWEST, STEMS
from compose_worlds.stems.spectra import CHROMA_FRAMES, FRAMES, chromagram, onsets
from compose_worlds.stems.theory import MODES, signature

SHORTEST = 3.0
"""Seconds below which there is neither a tempo nor a key."""

_PITCHED = [i for i, stem in enumerate(STEMS) if stem != "drums"]
_TONIC, _FIFTH, _OTHER = 1.2, 1.1, 1.0
"""Weight of the notes of a scale in the template of a key."""

_TWELFTH = 0.15
"""Share of a note's strength that is heard again a fifth above (modulo octaves): its third
harmonic. Chosen on songs 20000 to 20359, as are the weights above."""


@dataclass(frozen=True)
class Hearing:
    """What was heard.

    Attributes:
        tempo: Beats a minute; 0 when nothing begins.
        pulse: How regular the beat is: autocorrelation of onsets at a beat and its multiples,
            relative to that at lag 0; about 0 for noise.
        tonic, mode: The key that fits best.
        clarity: How much better the notes fit into that key's scale than into the average one,
            as a difference of correlations; 0 when silent.
        chroma: (12,) mean strength of the pitch classes, a unit vector, or zeros.
        chords: (S, 24) fit of major (0 to 11) and minor (12 to 23) triads in each half second.
    """

    tempo: float
    pulse: float
    tonic: int
    mode: str
    clarity: float
    chroma: Tensor
    chords: Tensor

    @property
    def signature(self) -> int:
        """Tonic of the major key with the same notes."""
        return signature(self.tonic, self.mode)


def hear(samples: Tensor, rate: int) -> Hearing:
    """Listen to one sound.

    Args:
        samples: (T,) one channel, or stems (4, T) in the order of `STEMS`: then keys and chords
            are read without the drums.
        rate: Samples in a second.

    Raises:
        ShapeError: Another shape, values that are no numbers, or shorter than `SHORTEST`.
    """
    single, pitched = parts(samples, rate)
    chroma = chromagram(pitched, rate)
    tempo, pulse = beat(torch.stack([onsets(one, rate) for one in single]).sum(0))
    mean = _unit(_unit(chroma).sum(0))
    tonic, mode, clarity = key(mean)
    return Hearing(tempo, pulse, tonic, mode, clarity, mean, chords(chroma))


def parts(samples: Tensor, rate: int) -> tuple[list[Tensor], Tensor]:
    """Each channel on its own, and the pitched channels together.

    Raises:
        ShapeError: See `hear`.
    """
    stems = samples.dim() == 2 and samples.shape[0] == len(STEMS)
    if not (samples.dim() == 1 or stems):
        raise ShapeError(
            "nothing to listen to",
            got=tuple(samples.shape),
            expected=f"(T,), or ({len(STEMS)}, T): {', '.join(STEMS)}",
            remedy="mix stereo down first",
        )
    if samples.shape[-1] < SHORTEST * rate:
        raise ShapeError(
            "too short to hear a key or a tempo",
            got=f"{samples.shape[-1] / rate:.2f} s",
            expected=f"{SHORTEST:g} s or more",
        )
    if stems:
        return list(samples), samples[_PITCHED].sum(0)
    return [samples], samples


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-5)


def beat(envelope: Tensor) -> tuple[float, float]:
    """Tempo in beats a minute and strength of the pulse of an onset envelope (F,)."""
    centred = envelope - envelope.mean()
    size = 2 ** (2 * len(centred) - 1).bit_length()
    spectrum = torch.fft.rfft(centred.double(), size).abs().square()
    correlation = torch.fft.irfft(spectrum, size)[: len(centred)]
    if correlation[0] < 1e-9 * len(centred):
        return 0.0, 0.0
    correlation = correlation / torch.arange(len(centred), 0, -1)
    correlation = correlation / correlation[0]
    tempi = torch.arange(SLOWEST - 3, FASTEST + 3, 0.1, dtype=torch.float64)
    lags = FRAMES * 60 / tempi
    multiples = torch.tensor([1, 2, 4, 8], dtype=torch.float64)
    # Long lags have few pairs; those beyond half of the sound tell little.
    reach = multiples * lags.max() < 0.6 * len(centred)
    multiples = multiples[reach] if bool(reach.any()) else multiples[:1]
    values = _between(correlation, (lags[:, None] * multiples).clamp_max(len(centred) - 2))
    fit = values.mean(1)
    best = int(fit.argmax())
    return float(tempi[best]), float(fit[best])


def _between(values: Tensor, at: Tensor) -> Tensor:
    """Linear interpolation of (F,) at places of any shape."""
    low = at.floor().long()
    share = at - low
    return values[low] * (1 - share) + values[low + 1] * share


def _templates() -> tuple[Tensor, list[tuple[int, str]]]:
    rows: list[Tensor] = []
    keys: list[tuple[int, str]] = []
    for mode, steps in MODES.items():
        row = torch.zeros(12)
        for step in steps:
            row[step] = _OTHER
        row[0], row[7] = _TONIC, _FIFTH
        for tonic in range(12):
            rows.append(row.roll(tonic))
            keys.append((tonic, mode))
    table = torch.stack(rows)
    return _unit(table - table.mean(1, keepdim=True)), keys


def key(chroma: Tensor) -> tuple[int, str, float]:
    """Tonic, mode and clarity of a chroma (12,)."""
    if not bool((chroma > 0).any()):
        return 0, "major", 0.0
    table, keys = _templates()
    # The root: a note played twice as loud is not twice as much a note of the scale.
    flat = (chroma - _TWELFTH * chroma.roll(7)).clamp_min(0).sqrt()
    fit = table @ _unit(flat - flat.mean())
    best = int(fit.argmax())
    return *keys[best], float(fit[best] - fit.mean())


def chords(chroma: Tensor) -> Tensor:
    """Fit (S, 24) of all triads to a chromagram (F, 12), in each half second."""
    span = CHROMA_FRAMES // 2
    count = max(1, len(chroma) // span)
    means = _unit(chroma[: count * span].unflatten(0, (count, -1)).sum(1))
    rows: list[Tensor] = []
    for third in (4, 3):
        row = torch.zeros(12)
        row[[0, third, 7]] = 1
        rows += [row.roll(root) for root in range(12)]
    return means @ _unit(torch.stack(rows)).T
