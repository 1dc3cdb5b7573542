"""Frechet audio distance (Kilgour et al. 2019, arXiv 1812.08466) and its relatives.

The vectors of all patches of all sounds of a set make one Gaussian; FAD is the squared Frechet
distance of two such sets. It is computed in float64 from embeddings kept in full precision: half
precision changes the second digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_metrics.audio.wave_sets import Embedder, Sounds, WaveSets
from compose_metrics.distribution.infinity import at_infinity
from compose_metrics.frechet import Moments, frechet_distance
from compose_metrics.intervals import jackknife, seeded
from compose_metrics.metric import Keys
from compose_metrics.result import JSON, Interval, Result


def _interval(
    vectors: Tensor, clips: Tensor, reference: Moments, value: float, groups: int
) -> Interval | None:
    """Jackknife over groups of whole sounds: patches of one sound are not independent."""
    _, place = clips.unique(return_inverse=True)
    if groups < 2 or int(place.max()) + 1 < 2 * groups:
        return None
    without = [frechet_distance(vectors[place % groups != g], reference) for g in range(groups)]
    return jackknife(torch.tensor(without, dtype=torch.float64), value)


class _Distance(WaveSets):
    """A plain Frechet distance of what was heard.

    Args:
        embedder: The network.
        groups: Number of groups of the jackknife interval; 0 for none.
    """

    def __init__(self, embedder: Embedder, *, groups: int = 10) -> None:
        super().__init__(embedder)
        self.groups = groups

    def compute(self) -> Result:
        """The distance, in squared units of the vectors."""
        generated, reference = self.vectors("generated"), self.vectors("reference")
        known = Moments.of(reference)
        value = frechet_distance(generated, known)
        clips = self.clips("generated")
        return self.heard(value, interval=_interval(generated, clips, known, value, self.groups))


@final
class FAD(_Distance):
    """Frechet audio distance: ``fad`` with VGGish, ``fad@<id>`` with another embedder.

    Like FID it falls with the number of sounds; rank only equal n, and see `FADInfinity`.
    """

    name = "fad"

    def update(
        self,
        generated: Sounds | None = None,
        reference: Sounds | None = None,
        *,
        rate: int,
        keys: Keys = None,
        reference_keys: Keys = None,
    ) -> None:
        """Take generated sounds, reference sounds, or both; they need not be pairs.

        Args:
            generated: Waves (T,) or (C, T) of any length, full scale 1; channels are averaged.
            reference: The same for real sounds.
            rate: Samples in a second of all of them.
            keys: Sample numbers of the generated sounds.
            reference_keys: Sample numbers of the reference sounds.

        Raises:
            ShapeError: A wave of another shape, with NaN, or too short for the embedder.
            UsageError: A sample number is there already, or no sound at all.
        """
        given = {"generated": generated, "reference": reference}
        self.hear(rate, given, {"generated": keys, "reference": reference_keys})


@final
class FADInfinity(WaveSets):
    """FAD extrapolated to infinitely many generated sounds (Gui et al. 2024, arXiv 2311.01616).

    FAD of subsets of whole sounds, drawn without replacement, is fitted by a line in `1 / n`.

    Args:
        embedder: The network.
        sizes: How many subsets are fitted.
        seed: Of the draws of the subsets.
    """

    name = "fad_infinity"
    minimum = 30

    def __init__(self, embedder: Embedder, *, sizes: int = 15, seed: int = 0) -> None:
        super().__init__(embedder)
        self.sizes, self.seed = sizes, seed

    def update(
        self,
        generated: Sounds | None = None,
        reference: Sounds | None = None,
        *,
        rate: int,
        keys: Keys = None,
        reference_keys: Keys = None,
    ) -> None:
        """Take sounds; see `FAD.update`."""
        given = {"generated": generated, "reference": reference}
        self.hear(rate, given, {"generated": keys, "reference": reference_keys})

    def params(self) -> dict[str, JSON]:
        """Everything that changes the value."""
        return {**super().params(), "sizes": self.sizes, "seed": self.seed}

    def compute(self) -> Result:
        """The value of the fitted line at `1 / n = 0`."""
        generated = self.vectors("generated")
        reference = Moments.of(self.vectors("reference"))
        names, place = self.clips("generated").unique(return_inverse=True)
        fit = at_infinity(
            lambda sounds: frechet_distance(generated[torch.isin(place, sounds)], reference),
            len(names),
            sizes=self.sizes,
            generator=seeded(self.seed),
        )
        parts = {"slope": fit.slope, "at_n": fit.values[-1]}
        return self.heard(fit.value, interval=fit.interval, parts=parts)


@final
class SubFAD(_Distance):
    """FAD of an accompaniment: given stems with generated ones, against real mixtures.

    Some stems of a song are given, the others generated to go with them; their sum is compared
    with the sums of all real stems (Donahue et al. 2023; Mariani et al. 2024, arXiv 2302.02257).

    Args:
        embedder: The network.
        generated: Names of the stems that are generated.
        groups: Number of groups of the jackknife interval; 0 for none.
    """

    name = "sub_fad"

    def __init__(self, embedder: Embedder, generated: Sequence[str], *, groups: int = 10) -> None:
        super().__init__(embedder, groups=groups)
        if isinstance(generated, str) or not generated:
            raise UsageError("no stems", got=generated, expected="names of the generated stems")
        self.stems = tuple(sorted(generated))

    def update(
        self,
        generated: Mapping[str, Tensor],
        given: Mapping[str, Tensor],
        reference: Mapping[str, Tensor],
        *,
        rate: int,
        keys: Keys = None,
        reference_keys: Keys = None,
    ) -> None:
        """Take stems (B, T) by name.

        Args:
            generated: The generated stems.
            given: The stems that they were generated for.
            reference: All stems of real songs, which need not be the same songs.
            rate: Samples in a second.
            keys: Sample numbers of the generated songs.
            reference_keys: Sample numbers of the real songs.

        Raises:
            UsageError: The names are not those that were agreed on.
            ShapeError: Stems of different shape.
        """
        names = tuple(sorted(generated))
        whole = {*generated, *given}
        if names != self.stems or set(names) & set(given) or set(reference) != whole:
            raise UsageError(
                "these stems do not make the songs",
                got=f"generated {list(names)}, given {sorted(given)}, "
                f"reference {sorted(reference)}",
                expected=f"generated {list(self.stems)}, the others given, all in the reference",
            )
        heard = {
            "generated": mixture({**generated, **given}),
            "reference": mixture(reference),
        }
        self.hear(rate, heard, {"generated": keys, "reference": reference_keys})

    def params(self) -> dict[str, JSON]:
        """Everything that changes the value."""
        return {**super().params(), "generated": list(self.stems)}


def mixture(stems: Mapping[str, Tensor]) -> Tensor:
    """The sum (B, T) of stems (B, T), as loud as they are.

    Raises:
        ShapeError: They differ in shape.
    """
    shapes = {name: tuple(stem.shape) for name, stem in stems.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ShapeError("stems do not fit together", got=shapes, expected="(B, T), all alike")
    # In the order of their names, so that the sum has the same bits whatever the mapping's order.
    return torch.stack([stems[name] for name in sorted(stems)]).sum(0)
