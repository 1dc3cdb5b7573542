"""Table 3 of DDE: satellite-like pictures of maps larger than the base model knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, final

import torch
from torch import Tensor

from compose_benchmarks.judges import Clip
from compose_benchmarks.trials.trial import Sitting, Trial
from compose_core.evaluate import Local
from compose_dde.baselines import swap
from compose_dde.domain import Domain
from compose_dde.pipeline import MapsPipeline
from compose_dde.subjects.maps import expand
from compose_metrics.distribution.fid import FID
from compose_metrics.distribution.kid import KID
from compose_metrics.features import FeatureMetrics
from compose_metrics.metric import Keys, PerSample
from compose_metrics.pictures import as_saved, sizes, taken
from compose_metrics.result import Result
from compose_worlds.terrain import Reading, chart, draw, read, satellite
from compose_worlds.terrain.places import HELD_OUT

__all__ = ["TRIAL", "Lands", "lands"]

REFERENCE = 4
"""Reference pictures for each generated one."""

_REFERENCE_FROM = HELD_OUT + 500_000
_SIDE = 2
"""Parts along each side of a picture that are read apart."""

_STRANGE = 0.2
"""Misfit to the best season beyond which colours are of none."""

_SHADED = 0.1
"""Contrast below which nothing is lit from a side."""

METHODS = {
    "dde": "a trained coordinator, taught on sides of 48 (DDE)",
    "multidiffusion": "parts averaged where they overlap (MultiDiffusion)",
    "swap": "parts that take turns where they overlap (as SaFa)",
    "real": "renders of the same maps: what can be reached",
}


class Lands(NamedTuple):
    """Maps with what they say.

    Attributes:
        charts: (N, 3, S, S) in [-1, 1].
        classes: (N, S, S).
    """

    charts: Tensor
    classes: Tensor


def lands(side: int, n: int) -> Lands:
    """The first `n` held-out maps of a side."""
    seen = [draw(HELD_OUT + i, (side, side))[0] for i in range(n)]
    return Lands(
        torch.stack([chart(one) for one in seen]) * 2 - 1,
        torch.stack([one.classes for one in seen]),
    )


@lru_cache(maxsize=1)
def _renders(side: int, count: int) -> Tensor:
    """(N, 3, S, S) uint8 of other places, each under its own weather."""
    made = [satellite(*draw(_REFERENCE_FROM + i, (side, side))) for i in range(count)]
    return (torch.stack(made) * 255).round().to(torch.uint8)


@final
class Fidelity(PerSample):
    """Share of pixels whose colour is that of their class on the map, read without a network."""

    id = "fidelity"

    def update(self, pictures: Tensor, classes: Tensor, *, keys: Keys = None) -> None:
        """Take pictures (B, 3, S, S) in [-1, 1] with classes (B, S, S)."""
        pictures = taken(pictures)
        shown = (pictures + 1) / 2
        value = [read(one, told).fidelity for one, told in zip(shown, classes, strict=True)]
        self.add(keys, value=torch.tensor(value).double(), size=sizes(pictures))


@final
class Agreement(PerSample):
    """How far the four quarters of a picture agree, read without a network.

    Of the season the share of quarters in the commonest; of the light the share lit from the
    commonest side, among quarters with something tall on their map. A quarter in the colours of
    no season agrees with none; neither does one whose tall things throw no shadow. Where no
    quarter has anything tall, all agree on the light. Only what is far from every season is of
    none: a quarter with two seasons in it may count as the one that fits better, and grey is in
    the colours of winter, so read this beside `Fidelity`.

    Args:
        aspect: ``"season"`` or ``"light"``.
    """

    def __init__(self, aspect: Literal["season", "light"]) -> None:
        super().__init__()
        self.aspect = aspect
        self.id = f"one-{aspect}"

    def update(self, pictures: Tensor, classes: Tensor, *, keys: Keys = None) -> None:
        """Take pictures (B, 3, S, S) in [-1, 1] with classes (B, S, S)."""
        pictures = taken(pictures)
        shown = (pictures + 1) / 2
        value = [self._of(_quarters(one, told)) for one, told in zip(shown, classes, strict=True)]
        self.add(keys, value=torch.tensor(value).double(), size=sizes(pictures))

    def _of(self, quarters: Sequence[Reading]) -> float:
        if self.aspect == "season":
            return _commonest([q.season if q.misfit <= _STRANGE else None for q in quarters])
        tall = [q for q in quarters if q.light is not None]
        return _commonest([q.light if q.contrast >= _SHADED else None for q in tall])


def _quarters(picture: Tensor, classes: Tensor) -> list[Reading]:
    rows, columns = (side // _SIDE for side in classes.shape)
    starts = [(y * rows, x * columns) for y in range(_SIDE) for x in range(_SIDE)]
    return [
        read(picture[:, y : y + rows, x : x + columns], classes[y : y + rows, x : x + columns])
        for y, x in starts
    ]


def _commonest(found: Sequence[object]) -> float:
    """The share of the commonest, None being none; 1 where there is nothing to agree on."""
    if not found:
        return 1.0
    told = Counter(one for one in found if one is not None)
    return max(told.values(), default=0) / len(found)


@lru_cache(maxsize=1)
def _loaded(model: str, device: str) -> tuple[MapsPipeline, Clip]:
    return MapsPipeline.from_pretrained(model, device=device), Clip.load()


def measure(sitting: Sitting, method: str, side: int) -> Sequence[Result]:
    """Pictures of maps of a side, and what is read in them."""
    pipe, clip = _loaded(sitting.model, sitting.device)
    pipe.evaluator = Local(sitting.max_batch)
    told = lands(side, sitting.n)
    features = FeatureMetrics(FID(clip), KID(clip))
    judges = [Fidelity(), Agreement("season"), Agreement("light")]
    for start, pictures in _made(pipe, sitting, method, told):
        saved = as_saved(pictures.clamp(-1, 1))
        keys = list(range(start, start + len(saved)))
        classes = told.classes[start : start + len(saved)]
        features.update(saved, keys=keys)
        for judge in judges:
            judge.update(saved, classes, keys=keys)
    for some in _renders(side, max(REFERENCE * sitting.n, 64)).split(sitting.micro_batch):
        features.update(reference=some)
    return [*features.compute().values(), *(judge.compute() for judge in judges)]


@torch.no_grad()
def _made(
    pipe: MapsPipeline, sitting: Sitting, method: str, told: Lands
) -> Iterator[tuple[int, Tensor]]:
    window, stride = pipe.expansion.window[0], pipe.stride[0]
    side = told.charts.shape[-1]
    if method == "real":
        for start in range(0, sitting.n, sitting.micro_batch):
            numbers = range(start, min(start + sitting.micro_batch, sitting.n))
            made = [satellite(*draw(HELD_OUT + i, (side, side))) for i in numbers]
            yield start, torch.stack(made) * 2 - 1
        return
    trust = swap(Domain.grid((side, side), window, stride)) if method == "swap" else "mean"
    coordinator = pipe.coordinator if method == "dde" else None
    for start in range(0, sitting.n, sitting.micro_batch):
        some = told.charts[start : start + sitting.micro_batch].to(pipe.device)
        denoiser = expand(
            pipe.expansion.base, coordinator, some, window, stride, w=pipe.walk.w, weights=trust
        )
        dice = [torch.Generator().manual_seed(start + i) for i in range(len(some))]
        shape = (len(some), pipe.expansion.channels, side, side)
        yield start, pipe.run(denoiser, shape, dice)


TRIAL = Trial(
    name="dde-maps",
    summary="pictures of maps of 1.5, 2 and 4 times the side that the base model knows",
    protocol=(
        "Held-out maps; the same maps and noise for all methods. Distances are to four times as "
        "many renders of other places, through clip-tiny, which was not made for land. Fidelity "
        "is the share of pixels in the colour of their class on the map; one-season and one-light "
        "tell how far the quarters of a picture agree. These are read without a network."
    ),
    methods=METHODS,
    varies="side",
    settings=(48, 64, 128),
    measure=measure,
    model="dde-maps-tiny",
    n=256,
    quick=4,
    judges=("clip-tiny",),
)
