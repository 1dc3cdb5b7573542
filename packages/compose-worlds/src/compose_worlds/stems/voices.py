"""How notes sound: sums of decaying sines, so that any sample rate hears the same song.

A note is `sum_h a_h exp(-d_h t) sin(2 pi (f_h t + p_h))` over its harmonics
`f_h = h f sqrt(1 + B h^2)`. Phases are spread over harmonics and pitches, so that chords do not
pile up at their onset; noise of drums is a cloud of sines at fixed random frequencies. Partials
that a rate cannot hold are left out: a song at a low rate is the same song, band-limited.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from compose_worlds.dice import Dice
from compose_worlds.stems import patterns
from compose_worlds.stems.theory import frequency

HIGHEST = 9_000.0
"""No partial lies above, in hertz, whatever the rate."""

NYQUIST = 0.46
"""Partials up to this share of the sample rate are heard."""

RELEASE = 0.03
"""Seconds in which a note fades when its time is over."""


GAIN = 0.5
"""Of everything, so that the mix stays within full scale."""


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A sound with a pitch.

    Attributes:
        harmonics: how many.
        slope: amplitudes fall as ``h ** -slope``.
        pluck: where a string is plucked, as a share of its length: harmonics with a knot there
            are missing; 0 has them all.
        decay, damping: rate of the fundamental's decay in 1 / s, and how much faster it is for
            each higher harmonic.
        attack: seconds of rise.
        stretch: inharmonicity B.
        odd: whether even harmonics are missing.
        gain: loudness, chosen so that all patches of a stem are about as loud.
    """

    harmonics: int
    slope: float
    pluck: float = 0.0
    decay: float = 1.0
    damping: float = 0.5
    attack: float = 0.003
    stretch: float = 0.0
    odd: bool = False
    gain: float = 1.0


PATCHES: dict[str, tuple[Patch, ...]] = {
    "bass": (
        Patch(harmonics=8, slope=1.5, decay=1.6, damping=0.7, attack=0.006, gain=0.25),
        Patch(harmonics=14, slope=1.0, pluck=0.13, decay=2.6, damping=0.9, gain=0.42),
        Patch(harmonics=9, slope=1.1, decay=0.5, damping=0.1, odd=True, gain=0.21),
    ),
    "guitar": (
        Patch(harmonics=8, slope=1.5, pluck=0.3, decay=3.0, damping=1.2, gain=0.19),
        Patch(harmonics=14, slope=0.9, pluck=0.12, decay=2.2, damping=0.8, gain=0.19),
        Patch(harmonics=10, slope=1.0, decay=0.8, damping=0.15, attack=0.008, gain=0.09),
    ),
    "piano": (
        Patch(harmonics=10, slope=1.4, decay=1.8, damping=0.6, stretch=4e-4, gain=0.16),
        Patch(harmonics=4, slope=1.9, decay=1.2, damping=1.6, attack=0.006, gain=0.14),
        Patch(harmonics=6, slope=0.9, decay=0.2, damping=0.0, attack=0.02, odd=True, gain=0.10),
    ),
}
"""Finger, pick and synthetic bass; nylon, steel and electric guitar; piano, electric piano and
organ."""


def tone(stem: str, patch: int, pitch: int, seconds: float, rate: float) -> Tensor:
    """A note of full loudness, held for ``seconds``, and its release: (T,) float32."""
    voice = PATCHES[stem][patch]
    count = max(1, round((seconds + RELEASE) * rate))
    t = torch.arange(count, dtype=torch.float64) / rate
    h = torch.arange(1, voice.harmonics + 1, dtype=torch.float64)
    h = h[::2] if voice.odd else h
    pitched = frequency(pitch) * h * (1 + voice.stretch * h**2).sqrt()
    amplitude = h**-voice.slope
    if voice.pluck:
        amplitude = amplitude * torch.sin(math.pi * voice.pluck * h).abs()
    kept = pitched < min(NYQUIST * rate, HIGHEST)
    pitched, amplitude, h = pitched[kept], amplitude[kept], h[kept]
    decay = voice.decay + voice.damping * (h - 1)
    phase = 0.61803 * pitch + h * h / (2 * voice.harmonics)
    waves = amplitude[:, None] * torch.exp(-decay[:, None] * t).float()
    sound = (waves * _sine(pitched, phase, t)).sum(0)
    rise = (t / voice.attack).clamp_max(1)
    return GAIN * voice.gain * sound.float() * (rise * _release(t, seconds)).float()


def _sine(pitched: Tensor, phase: Tensor, t: Tensor) -> Tensor:
    """Sines (N, T) float32 of frequencies (N,) in hertz and phases (N,) in turns."""
    turns = pitched[:, None] * t + phase[:, None]
    return torch.sin(2 * math.pi * (turns - turns.floor()).float())


def _release(t: Tensor, seconds: float) -> Tensor:
    """One until the note's end, then half a cosine down to zero."""
    return 0.5 + 0.5 * torch.cos(math.pi * ((t - seconds) / RELEASE).clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class Drum:
    """A sound without a pitch: a sine that falls, and noise.

    Attributes:
        seconds: how long it is heard.
        body, low, high, fall: amplitude of the sine, its last and first frequency in hertz and
            the time in seconds in which it falls.
        ring: seconds in which the sine decays to 1 / e.
        noise, band, hiss: amplitude of the noise, its lowest and highest frequency in hertz and
            the seconds in which it decays to 1 / e.
    """

    seconds: float
    body: float = 0.0
    low: float = 50.0
    high: float = 140.0
    fall: float = 0.03
    ring: float = 0.1
    noise: float = 0.0
    band: tuple[float, float] = (300.0, 6000.0)
    hiss: float = 0.06


KITS: tuple[dict[str, Drum], ...] = (
    {
        "kick": Drum(seconds=0.35, body=0.55, ring=0.1, noise=0.04, hiss=0.01),
        "snare": Drum(seconds=0.3, body=0.16, low=180, high=260, ring=0.06, noise=0.24),
        "hat": Drum(seconds=0.12, noise=0.15, band=(900, 9000), hiss=0.025),
        "crash": Drum(seconds=1.2, noise=0.2, band=(500, 9000), hiss=0.35),
    },
    {
        "kick": Drum(seconds=0.3, body=0.6, low=58, high=110, ring=0.07, noise=0.08, hiss=0.006),
        "snare": Drum(seconds=0.2, body=0.22, low=220, high=330, ring=0.04, noise=0.18, hiss=0.04),
        "hat": Drum(seconds=0.08, noise=0.16, band=(1100, 9000), hiss=0.014),
        "crash": Drum(seconds=0.9, noise=0.18, band=(700, 9000), hiss=0.25),
    },
    {
        "kick": Drum(seconds=0.5, body=0.55, low=45, high=190, fall=0.045, ring=0.16),
        "snare": Drum(seconds=0.25, body=0.08, low=160, high=200, noise=0.28, band=(700, 7000)),
        "hat": Drum(seconds=0.2, noise=0.14, band=(1000, 9000), hiss=0.05),
        "crash": Drum(seconds=1.2, noise=0.18, band=(600, 9000), hiss=0.4),
    },
)
"""Acoustic, tight and electronic."""

_CLOUD = 220
"""Sines of a noise."""


def hit(patch: int, number: int, rate: float) -> Tensor:
    """A drum of full loudness: (T,) float32; the same noise at every hit."""
    name = patterns.HITS[number]
    drum = KITS[patch][name]
    t = torch.arange(max(1, round(drum.seconds * rate)), dtype=torch.float64) / rate
    glide = drum.fall * (drum.high - drum.low) * (1 - torch.exp(-t / drum.fall))
    body = torch.sin(2 * math.pi * (drum.low * t + glide)) * torch.exp(-t / drum.ring)
    sound = drum.body * body
    if drum.noise:
        sound = sound + drum.noise * _cloud(drum, Dice(3, patch, number), t, rate)
    fade = ((drum.seconds - t) / (0.2 * drum.seconds)).clamp(0, 1)
    return (GAIN * sound * fade).float()


def _cloud(drum: Drum, dice: Dice, t: Tensor, rate: float) -> Tensor:
    low, high = drum.band
    share, phase = torch.rand(2, _CLOUD, generator=dice.generator, dtype=torch.float64)
    pitched = low * (high / low) ** share
    kept = pitched < min(NYQUIST * rate, HIGHEST)
    noise = _sine(pitched[kept], phase[kept], t).sum(0)
    return noise * (2 / _CLOUD) ** 0.5 * torch.exp(-t / drum.hiss)
