"""Whether distant parts of a sound belong together: one key, one tempo, chords that come back.

A sound is cut into parts. Parts that begin at least ``apart`` seconds after one another ended are
compared: nothing local can make them agree, only a plan of the whole. Songs of the band keep their
key and tempo and repeat their loops of chords, so real ones agree nearly always; parts of
different songs agree by chance (1 of 12 keys).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_worlds.stems.hearing import Hearing, hear, parts
from compose_worlds.stems.spectra import CHROMA_FRAMES, chromagram

SECONDS = 8.0
"""Length of a part."""

TEMPO = 0.04
"""Tempi that differ by less than this share are the same."""

PULSE = 0.15
"""Least pulse of a part whose tempo counts as heard; white noise has about 0.05."""

CLARITY = 0.5
"""Least clarity of a part whose key counts as heard."""

_PHRASE = 4 * CHROMA_FRAMES
"""Frames of chroma that are looked for elsewhere."""


@dataclass(frozen=True)
class Agreement:
    """How far distant parts of a sound agree, from 0 (``harmony`` and ``recall``: -1) to 1.

    Attributes:
        key: Share of pairs of parts with the same scale; a part without a key agrees with none.
        tempo: Share of pairs with the same tempo; a part without a beat agrees with none.
        harmony: Mean correlation of the pitch classes of pairs of parts, 0 without a key.
        recall: How well four seconds of chords come back somewhere at least ``apart`` seconds
            away: the best correlation, averaged over the sound.
        pairs: How many pairs were compared.
        parts: What was heard in each part.
    """

    key: float
    tempo: float
    harmony: float
    recall: float
    pairs: int
    parts: tuple[Hearing, ...]


def agreement(
    samples: Tensor, rate: int, *, apart: float = 4.0, seconds: float = SECONDS
) -> Agreement:
    """Compare the distant parts of a sound.

    Args:
        samples: (T,) one channel, or stems (4, T).
        rate: Samples in a second.
        apart: Seconds between the end of one part and the beginning of another that make them
            distant; take the window of the model that is judged.
        seconds: Length of a part.

    Raises:
        ShapeError: A wrong shape, or so short that no two parts are distant.
        UsageError: ``apart`` is negative.
    """
    if apart < 0:
        raise UsageError("parts cannot be less than 0 s apart", got=apart)
    _, pitched = parts(samples, rate)
    length = int(seconds * rate)
    count = samples.shape[-1] // length
    gap = 1 + int(-(-apart // seconds))
    if count <= gap:
        raise ShapeError(
            "the sound is too short to have distant parts",
            got=f"{samples.shape[-1] / rate:.1f} s",
            expected=f"{(gap + 1) * seconds:g} s or more",
        )
    heard = tuple(hear(samples[..., i * length : (i + 1) * length], rate) for i in range(count))
    pairs = [(a, b) for a, b in itertools.combinations(range(count), 2) if b - a >= gap]
    couples = [(heard[a], heard[b]) for a, b in pairs]
    return Agreement(
        key=sum(_same_key(a, b) for a, b in couples) / len(couples),
        tempo=sum(_same_tempo(a, b) for a, b in couples) / len(couples),
        harmony=sum(_harmony(a, b) for a, b in couples) / len(couples),
        recall=recall(chromagram(pitched, rate), apart),
        pairs=len(couples),
        parts=heard,
    )


def _clear(a: Hearing, b: Hearing) -> bool:
    return min(a.clarity, b.clarity) >= CLARITY


def _same_key(a: Hearing, b: Hearing) -> bool:
    return _clear(a, b) and a.signature == b.signature


def _same_tempo(a: Hearing, b: Hearing) -> bool:
    heard = min(a.pulse, b.pulse) >= PULSE
    return heard and abs(a.tempo - b.tempo) <= TEMPO * max(a.tempo, b.tempo)


def _harmony(one: Hearing, other: Hearing) -> float:
    if not _clear(one, other):
        return 0.0
    a, b = one.chroma - one.chroma.mean(), other.chroma - other.chroma.mean()
    return float((a @ b) / (a.norm() * b.norm()).clamp_min(1e-9))


def recall(chroma: Tensor, apart: float) -> float:
    """How well phrases of a chromagram (F, 12) come back at least ``apart`` seconds away.

    Phrases of four seconds start every second; the mean pitch classes of the whole sound are taken
    away first, so that a key alone is no return.
    """
    loud = chroma / chroma.norm(dim=1, keepdim=True).clamp_min(1e-5)
    smooth = torch.nn.functional.avg_pool1d(loud.T[None], 3, 1, 1)[0].T
    centred = smooth - smooth.mean(0)
    count = len(centred) - _PHRASE + 1
    if count < 1:
        return 0.0
    phrases = centred.unfold(0, _PHRASE, 1).flatten(1)
    phrases = phrases / phrases.norm(dim=1, keepdim=True).clamp_min(1e-9)
    starts = torch.arange(0, count, CHROMA_FRAMES)
    fit = phrases[starts] @ phrases.T
    far = (starts[:, None] - torch.arange(count)).abs() >= _PHRASE + apart * CHROMA_FRAMES
    kept = far.any(1)
    if not bool(kept.any()):
        return 0.0
    return float(torch.where(far, fit, -1.0).amax(1)[kept].mean())
