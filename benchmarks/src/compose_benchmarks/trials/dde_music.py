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

METHODS = {
    "dde": "a trained coordinator that hears its neighbours and summaries of all others (DDE)",
    "dde-full": "a trained coordinator in which all windows hear all others (DDE)",
    "multidiffusion": "windows averaged where they overlap (MultiDiffusion)",
    "concat": "windows end to end that know nothing of each other",
    "rnn-overlap": "a recurrent network over windows that overlap",
    "rnn": "a recurrent network over windows end to end",
}


@lru_cache(maxsize=1)
def _loaded(model: str, device: str) -> tuple[MusicPipeline, Ears]:
    pipe = MusicPipeline.from_pretrained(model, device=device)
    return pipe, Ears.load(zoo.resolve(EARS) / "model.safetensors")


@lru_cache(maxsize=1)
def _songs(rate: int, frames: int, n: int) -> Tensor:
    """(N, T) mixtures of held-out songs, as long as what is made."""
    first = cache.HELD_OUT + 1_000
    return torch.stack([cache.stretch(first + i, rate, frames).sum(0) for i in range(n)])


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
    """Where windows begin, but for the first."""
    if method in APART:
        return list(range(pipe.window, frames, pipe.window))
    step = pipe.expansion.stride[0]
    return list(range(step, frames - pipe.window + 1, step))


@torch.no_grad()
def _made(
    pipe: MusicPipeline, sitting: Sitting, method: str, frames: int
) -> Iterator[tuple[int, Tensor]]:
    """Stems (B, S, frames), at the loudness of songs."""
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
    for start in range(0, sitting.n, sitting.micro_batch):
        count = min(sitting.micro_batch, sitting.n - start)
        dice = [torch.Generator().manual_seed(start + i) for i in range(count)]
        made = maker.run(denoiser, (count, pipe.expansion.channels, size), dice)
        yield start, made[:, :, :frames] / pipe.gain


TRIAL = Trial(
    name="dde-music",
    summary="music of 5 and 13 windows, of which coordinators were taught 5",
    protocol=(
        "The same noise for all methods. The Fréchet distance is that of mixtures, to as many "
        "held-out songs of the same length, through ears-tiny; seam-audibility is how much more "
        "the spectrum changes where windows begin than elsewhere; structure tells how far "
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
