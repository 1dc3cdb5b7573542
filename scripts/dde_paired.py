"""How sure a difference of Fréchet distances is between methods that start from the same noise.

Usage: ``python scripts/dde_paired.py dde-maps 48 128 dde multidiffusion`` (trial, setting, number,
methods); ``dde-music`` likewise. Minutes to hours on one core.

Intervals of single methods in a trial's table overlap although all share maps, noise and
reference. Here each of ten groups of samples is left out of both methods together; the reference
stays as it is. Prints the first method's distance less that of each other, with 95 % intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from compose_benchmarks.judges import Clip
from compose_benchmarks.trials import dde_maps, dde_music
from compose_benchmarks.trials.trial import Sitting
from compose_core import zoo
from compose_dde.domain import span
from compose_dde.pipeline import MapsPipeline, MusicPipeline
from compose_metrics.audio.ears import Ears
from compose_metrics.audio.fad import FAD
from compose_metrics.distribution.fid import FID
from compose_metrics.frechet import Moments, frechet_distance
from compose_metrics.intervals import jackknife
from compose_metrics.pictures import as_saved

GROUPS = 10

Embedded = tuple[dict[str, Tensor], Tensor, Tensor]
"""Vectors of each method, the sample that each is of, and vectors of the reference."""


def maps(side: int, n: int, methods: Sequence[str]) -> Embedded:
    """Pictures, against renders."""
    pipe, clip = MapsPipeline.from_pretrained(dde_maps.TRIAL.model), Clip.load()
    sitting = Sitting(model=dde_maps.TRIAL.model, n=n)
    told, found = dde_maps.lands(side, n), dict[str, Tensor]()
    metric = FID(clip)
    for some in dde_maps._renders(side, max(dde_maps.REFERENCE * n, 64)).split(64):
        metric.update(reference=some)
    reference = metric.reference_features()
    for method in methods:
        metric = FID(clip)
        for start, pictures in dde_maps._made(pipe, sitting, method, told):
            keys = list(range(start, start + len(pictures)))
            metric.update(as_saved(pictures.clamp(-1, 1)), keys=keys)
        found[method] = metric.generated_features()
    return found, torch.arange(n), reference


def music(windows: int, n: int, methods: Sequence[str]) -> Embedded:
    """Mixtures, against songs."""
    pipe = MusicPipeline.from_pretrained(dde_music.TRIAL.model)
    ears = Ears.load(zoo.resolve(dde_music.EARS) / "model.safetensors")
    sitting = Sitting(model=dde_music.TRIAL.model, n=n)
    frames, rate = span(windows, pipe.window, pipe.expansion.stride[0]), pipe.sample_rate
    metric = FAD(ears)
    metric.update(reference=dde_music._songs(rate, frames, n), rate=rate)
    reference, found = metric.vectors("reference"), dict[str, Tensor]()
    numbers = torch.zeros(0)
    for method in methods:
        metric = FAD(ears)
        for start, stems in dde_music._made(pipe, sitting, method, frames):
            keys = list(range(start, start + len(stems)))
            metric.update(generated=stems.sum(1), rate=rate, keys=keys)
        found[method], numbers = metric.vectors("generated"), metric.clips("generated")
    return found, numbers, reference


TRIALS = {"dde-maps": maps, "dde-music": music}
MEASURED = {"dde-maps": dde_maps.TRIAL, "dde-music": dde_music.TRIAL}


def main(given: Sequence[str] | None = None) -> None:
    """Make, embed and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("trial", choices=list(TRIALS))
    parser.add_argument("setting", type=int)
    parser.add_argument("number", type=int)
    parser.add_argument("methods", nargs="+")
    args = parser.parse_args(given)
    if unknown := set(args.methods) - set(MEASURED[args.trial].methods):
        parser.error(f"no method of {args.trial}: {', '.join(sorted(unknown))}")
    if len(args.methods) < 2 or args.number < 2 * GROUPS:
        parser.error(f"two methods or more are compared, on {2 * GROUPS} samples or more")
    vectors, numbers, reference = TRIALS[args.trial](args.setting, args.number, args.methods)
    known = Moments.of(reference)
    whole = {name: frechet_distance(one, known) for name, one in vectors.items()}
    without = {
        name: torch.tensor(
            [frechet_distance(one[numbers % GROUPS != g], known) for g in range(GROUPS)],
            dtype=torch.float64,
        )
        for name, one in vectors.items()
    }
    first, *others = args.methods
    print(f"{args.trial}, {args.setting}, n = {args.number}")
    print("\n".join(f"{name:16} {value:.2f}" for name, value in whole.items()))
    for other in others:
        gap = whole[first] - whole[other]
        bounds = jackknife(without[first] - without[other], gap)
        print(f"{first} - {other}: {gap:.2f} [{bounds.low:.2f}, {bounds.high:.2f}]")


if __name__ == "__main__":
    main()
