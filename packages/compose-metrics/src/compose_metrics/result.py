"""What a metric says: a value, how sure it is, and everything that is needed to compare it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from compose_core.errors import ComposeError

JSON: TypeAlias = "str | int | float | bool | None | Sequence[JSON] | Mapping[str, JSON]"
"""Anything that a JSON file holds."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval of a value.

    Attributes:
        low: Lower end, in the unit of the value.
        high: Upper end.
        level: The confidence, for example 0.95.
        how: The procedure, for example ``"bootstrap of the mean, 2000 draws"``.
    """

    low: float
    high: float
    level: float = 0.95
    how: str

    def __contains__(self, value: float) -> bool:
        """Whether ``value`` lies between the ends."""
        return self.low <= value <= self.high

    def to_json(self) -> dict[str, JSON]:
        """The interval as JSON."""
        low, high = _number(self.low), _number(self.high)
        return {"low": low, "high": high, "level": self.level, "how": self.how}


@dataclass(frozen=True)
class Source:
    """Which network a metric looks through.

    Attributes:
        id: Its name, for example ``"inception-2015"`` or ``"tiny-v1"``.
        sha256: Of its weights, lower-case hex; empty where there are none to hash.
        reference: Whether it is the network that the literature means by this name. In-house
            networks are not, and their metrics never share a column with those of the literature.
    """

    id: str
    sha256: str
    reference: bool

    def metric(self, name: str, canonical: str | None = None) -> str:
        """The id of the metric ``name`` seen through this network.

        Only the canonical network gives the bare name: ``fid`` is that of the Inception of 2015,
        anything else is ``fid@<id>``.
        """
        plain = self.reference and canonical is not None and self.id == canonical
        return name if plain else f"{name}@{self.id}"

    def to_json(self) -> dict[str, JSON]:
        """The identity as JSON."""
        return {"id": self.id, "sha256": self.sha256, "reference": self.reference}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One value of one metric.

    Attributes:
        metric: Id, with ``@<extractor>`` for in-house extractors.
        version: Of the metric's definition; values of different versions are not comparable.
        value: The value; never NaN.
        n: How many samples it was computed from.
        unit: Of the value and of the interval; empty for plain numbers.
        higher_is_better: The direction.
        interval: How sure the value is.
        per_sample: A value for each sample (n,), sorted by key, where the metric has them.
        keys: The sample numbers that belong to ``per_sample`` (n,), ascending.
        params: Everything that changes the value, as JSON.
        extractor: The network that it looks through.
        n_reference: How many reference samples it was compared with.
        parts: Values that the value consists of, by name.
    """

    metric: str
    version: int
    value: float
    n: int
    unit: str = ""
    higher_is_better: bool
    interval: Interval | None = None
    per_sample: Tensor | None = field(default=None, compare=False, repr=False)
    keys: Tensor | None = field(default=None, compare=False, repr=False)
    params: Mapping[str, JSON] = field(default_factory=dict)
    extractor: Source | None = None
    n_reference: int | None = None
    parts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what nobody could rank.

        Raises:
            ComposeError: The value, an end of the interval or a part is NaN.
        """
        told = {self.metric: self.value}
        told |= {
            f"the part {name!r} of {self.metric}": value for name, value in self.parts.items()
        }
        if self.interval is not None:
            told[f"the lower end of {self.metric}"] = self.interval.low
            told[f"the upper end of {self.metric}"] = self.interval.high
        for name, value in told.items():
            if math.isnan(value):
                raise ComposeError(
                    f"{name} is not a number",
                    got=f"NaN from {self.n} samples",
                    remedy="look for samples that are constant or not finite",
                )

    def to_json(self, *, per_sample: bool = False) -> dict[str, JSON]:
        """The result as JSON; infinite numbers become strings.

        Args:
            per_sample: Also write the value of each sample, and the keys.
        """
        known: dict[str, JSON] = {
            "id": self.metric,
            "version": self.version,
            "value": _number(self.value),
            "n": self.n,
            "unit": self.unit,
            "higher_is_better": self.higher_is_better,
            "interval": self.interval.to_json() if self.interval else None,
            "params": dict(self.params),
            "extractor": self.extractor.to_json() if self.extractor else None,
            "n_reference": self.n_reference,
            "parts": {name: _number(value) for name, value in self.parts.items()},
        }
        if per_sample and self.per_sample is not None:
            known["per_sample"] = [_number(value) for value in self.per_sample.tolist()]
            known["keys"] = self.keys.tolist() if self.keys is not None else None
        return known


def comparable(first: Result, second: Result) -> None:
    """Check that two values of one metric may stand in one ranking.

    Raises:
        ComposeError: They differ in metric, version, n, n of the reference, parameters or
            extractor; the message names all that differ.
    """
    names = ("metric", "version", "n", "n_reference", "params", "extractor")
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in names}
    different = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if different:
        got = "; ".join(f"{name}: {a} and {b}" for name, (a, b) in different.items())
        raise ComposeError(
            f"two values of {first.metric} cannot be ranked together",
            got=got,
            expected=f"the same {', '.join(different)}",
            remedy="measure both again in the same way",
        )


def _number(value: float) -> float | str:
    """JSON has no infinity."""
    return value if math.isfinite(value) else str(value)
