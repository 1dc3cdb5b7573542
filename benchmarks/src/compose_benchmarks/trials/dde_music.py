"""Table 1 of DDE: music longer than the base model knows, and longer than anybody was taught."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from compose_benchmarks.trials.trial import Sitting, Trial
from compose_core import zoo
from compose_core.evaluate import Local
from compose_dde.baselines import concat
from compose_dde.domain import span
from compose_dde.pipeline import MusicPipeline
from compose_metrics.audio.ears import Ears
from compose_metrics.audio.fad import FAD
from compose_metrics.audio.seams import SeamAudibility
from compose_metrics.audio.structure import Aspect, StructureAgreement
from compose_metrics.result import Result
from compose_worlds.stems import cache
from compose_worlds.stems.coherence import agreement

__all__ = ["TRIAL"]

EARS = "ears-tiny"
ASPECTS: tuple[Aspect, ...] = ("key", "tempo", "harmony", "recall")
COORDINATORS = {"dde": "local", "dde-full": "full", "rnn-overlap": "rnn-overlap", "rnn": "rnn"}
"""Methods that are a coordinator of the folder."""

APART = ("concat", "rnn")
"""Methods whose windows do not overlap."""

PART = 4.0
"""Seconds of the parts whose structure is compared: five windows hold four of them."""

_REFERENCE_FROM, _REAL_FROM = cache.HELD_OUT + 1_000, cache.HELD_OUT + 5_000

METHODS = {
    "dde": "a trained coordinator that hears its neighbours and summaries of all others (DDE)",
    "dde-full": "a trained coordinator in which all windows hear all others (DDE)",
    "multidiffusion": "windows averaged where they overlap (MultiDiffusion)",
    "concat": "windows end to end that know nothing of each other",
    "rnn-overlap": "a recurrent network over windows that overlap",
    "rnn": "a recurrent network over windows end to end",
    "real": "other songs of the world: what can be reached",
}


@lru_cache(maxsize=1)
def _loaded(model: str, device: str) -> tuple[MusicPipeline, Ears]:
    pipe = MusicPipeline.from_pretrained(model, device=device)
    return pipe, Ears.load(zoo.resolve(EARS) / "model.safetensors")


@lru_cache(maxsize=1)
def _songs(rate: int, frames: int, n: int) -> Tensor:
    """(N, T) mixtures of held-out songs, as long as what is made."""
    return torch.stack([cache.stretch(_REFERENCE_FROM + i, rate, frames).sum(0) for i in range(n)])


def measure(sitting: Sitting, method: str, windows: int) -> Sequence[Result]:
    """Music of so many windows, and what is heard in it."""
    pipe, ears = _loaded(sitting.model, sitting.device)
    pipe.evaluator = Local(sitting.max_batch)
    rate, window = pipe.sample_rate, pipe.window
    frames = span(windows, window, pipe.expansion.stride[0])
    fad, seams = FAD(ears), SeamAudibility()
    apart = window / rate
    structure = {name: StructureAgreement(name, apart=apart) for name in ASPECTS}
    for start, stems in _made(pipe, sitting, method, frames):
        keys = list(range(start, start + len(stems)))
        mixes = stems.sum(1)
        fad.update(generated=mixes, rate=rate, keys=keys)
        borders = _borders(pipe, method, frames)
        seams.update(mixes, [borders] * len(mixes), rate=rate, keys=keys)
        heard = [agreement(one, rate, apart=apart, seconds=PART) for one in stems]
        for name, metric in structure.items():
            said = torch.tensor([float(getattr(one, name)) for one in heard])
            metric.update(said, keys=keys)
    fad.update(reference=_songs(rate, frames, sitting.n), rate=rate)
    return [fad.compute(), seams.compute(), *(one.compute() for one in structure.values())]


def _borders(pipe: MusicPipeline, method: str, frames: int) -> list[int]:
    """Where a window begins or ends, but for the two ends of the sound."""
    window = pipe.window
    if method in APART:
        return list(range(window, frames, window))
    step = pipe.expansion.stride[0]
    starts = range(0, frames - window + 1, step)
    return sorted({*starts, *(start + window for start in starts)} - {0, frames})


@torch.no_grad()
def _made(
    pipe: MusicPipeline, sitting: Sitting, method: str, frames: int
) -> Iterator[tuple[int, Tensor]]:
    """Stems (B, S, frames), at the loudness of songs."""
    groups = [
        range(start, min(start + sitting.micro_batch, sitting.n))
        for start in range(0, sitting.n, sitting.micro_batch)
    ]
    if method == "real":
        for some in groups:
            made = [cache.stretch(_REAL_FROM + i, pipe.sample_rate, frames) for i in some]
            yield some[0], torch.stack(made)
        return
    maker = MusicPipeline(
        pipe.expansion,
        coordinator=COORDINATORS.get(method, "none"),
        walk=pipe.walk,
        evaluator=pipe.evaluator,
    )
    window = pipe.window
    # End to end a whole number of windows is made, and the rest cut off.
    size = -(-frames // window) * window if method in APART else frames
    alone = method == "concat"
    denoiser = concat(pipe.expansion.base, size, window) if alone else maker.denoiser(size)
    for some in groups:
        dice = [torch.Generator().manual_seed(i) for i in some]
        made = maker.run(denoiser, (len(some), pipe.expansion.channels, size), dice)
        yield some[0], made[:, :, :frames] / pipe.gain


TRIAL = Trial(
    name="dde-music",
    summary="music of 5 and 13 windows, of which coordinators were taught 5",
    protocol=(
        "The same noise for all methods. The Fréchet distance is that of mixtures, to as many "
        "held-out songs of the same length, through ears-tiny; seam-audibility is how much more "
        "the spectrum changes where windows begin or end than elsewhere; structure tells how far "
        "parts of four seconds, more than a window apart, agree in key, tempo and pitch classes, "
        "and whether chords come back. Structure and seams are heard without a network."
    ),
    methods=METHODS,
    varies="windows",
    settings=(5, 13),
    measure=measure,
    model="dde-music-tiny",
    n=32,
    quick=2,
    judges=(EARS,),
)
