"""Two sets of sounds as a network hears them: what all Frechet audio distances keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from compose_core.errors import UsageError
from compose_metrics.audio.vggish import CANONICAL
from compose_metrics.audio.waves import checked_wave, resample
from compose_metrics.metric import Keys, Metric
from compose_metrics.result import JSON, Result, Source
from compose_metrics.table import KEYS, Table

SPAN = 2**20
"""Patches are numbered sample * SPAN + place; VGGish needs twelve days of sound for so many."""

Sounds = Sequence[Tensor] | Tensor
"""Waves (T,) or (C, T), of any lengths; or one tensor (B, T) or (B, C, T)."""


class Embedder(Protocol):
    """A network that hears: sounds to vectors.

    Attributes:
        source: Which network this is.
        rate: Samples in a second that it hears at.
        dim: Length D of its vectors.
        transform: Everything done to a sound before the network, in words.
    """

    @property
    def source(self) -> Source:
        """Which network this is."""
        ...

    @property
    def rate(self) -> int:
        """Samples in a second that it hears at."""
        ...

    @property
    def dim(self) -> int:
        """Length D of its vectors."""
        ...

    @property
    def transform(self) -> str:
        """Everything done to a sound before the network, in words."""
        ...

    def embed(self, samples: Tensor) -> Tensor:
        """Vectors (N, D), in time, of one sound (T,) at ``rate``."""
        ...


class WaveSets(Metric):
    """A metric of the vectors of a generated and of a reference set of sounds.

    Attributes:
        name: The id without the embedder; only VGGish gives it bare.
        embedder: The network.
    """

    name: str
    higher_is_better = False

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.id = embedder.source.metric(self.name, CANONICAL)
        self._tables = {
            "generated": Table(f"the generated sounds (numbered from sample x {SPAN})"),
            "reference": Table(f"the reference sounds (numbered from sample x {SPAN})"),
        }

    @property
    def n(self) -> int:
        """How many generated sounds were heard."""
        return len(self.clips("generated").unique())

    @property
    def n_reference(self) -> int:
        """How many reference sounds were heard."""
        return len(self.clips("reference").unique())

    def clips(self, side: str) -> Tensor:
        """The sound that each vector of a side belongs to (N,), ascending."""
        keys = self._tables[side].sorted().get(KEYS, torch.empty(0, dtype=torch.int64))
        return keys.div(SPAN, rounding_mode="floor")

    def vectors(self, side: str) -> Tensor:
        """All vectors (N, D) of a side, by sound and time.

        Raises:
            ComposeError: Fewer sounds than ``minimum``.
        """
        count = self.n if side == "generated" else self.n_reference
        self._enough(count, f"{side} sounds")
        return self._tables[side].sorted()["vectors"]

    def hear(
        self, rate: int, given: Mapping[str, Sounds | None], keys: Mapping[str, Keys]
    ) -> None:
        """Embed the sounds of either side and keep the vectors, all of them or none.

        Args:
            rate: Samples in a second.
            given: Sounds by side.
            keys: Sample numbers by side.
        """
        admitted = [
            (side, self._admitted(side, sounds, rate, keys[side]))
            for side, sounds in given.items()
            if sounds is not None
        ]
        for side, rows in admitted:
            self._tables[side].append(rows)

    def _admitted(self, side: str, sounds: Sounds, rate: int, keys: Keys) -> dict[str, Tensor]:
        table, waves = self._tables[side], list(sounds)
        if not waves:
            raise UsageError(f"no {side} sounds", got="an empty batch", expected="at least one")
        if keys is None:
            first = -(-int(table.numbered(None, 1)[0]) // SPAN)
            numbers = torch.arange(first, first + len(waves))
        else:
            numbers = Table(f"the {side} sounds").numbered(keys, len(waves))
        heard = [self._embedded(wave, rate, f"{side} sound {i}") for i, wave in enumerate(waves)]
        places = [
            int(number) * SPAN + torch.arange(len(vectors))
            for number, vectors in zip(numbers, heard, strict=True)
        ]
        return table.admit(torch.cat(places), vectors=torch.cat(heard))

    def _embedded(self, wave: Tensor, rate: int, what: str) -> Tensor:
        wave = resample(checked_wave(wave, what), rate, self.embedder.rate)
        return self.embedder.embed(wave).detach().cpu()

    def extractor_source(self) -> Source:
        """The embedder's."""
        return self.embedder.source

    def params(self) -> dict[str, JSON]:
        """What is done to a sound before the network."""
        return {"transform": self.embedder.transform}

    def reset(self) -> None:
        """Forget all sounds."""
        self._tables = {side: table.blank() for side, table in self._tables.items()}

    def heard(self, value: float, **more: Any) -> Result:
        """A result with the embedder and both sets filled in."""
        parts = {f"vectors_{side}": float(len(table)) for side, table in self._tables.items()}
        parts |= more.pop("parts", {})
        return self._result(
            value,
            n_reference=self.n_reference,
            parts=parts,
            **more,
        )

    def _state(self) -> dict[str, Tensor]:
        return {
            f"{side}.{name}": column
            for side, table in self._tables.items()
            for name, column in table.sorted().items()
        }

    def _absorb(self, state: Mapping[str, Tensor]) -> None:
        admitted: list[tuple[Table, dict[str, Tensor]]] = []
        for side, table in self._tables.items():
            if f"{side}.{KEYS}" in state:
                rows = table.admit(state[f"{side}.{KEYS}"], vectors=state[f"{side}.vectors"])
                admitted.append((table, rows))
        for table, rows in admitted:
            table.append(rows)
