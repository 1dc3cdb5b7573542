"""Whether distant parts of long music belong together, as a judge heard them.

The judge says for each piece how far its distant parts agree in one aspect; the metric is the mean
over pieces. What a judge can hear bounds the value, so that of real music stands beside it.
"""

from __future__ import annotations

from typing import Literal, final, get_args

from torch import Tensor

from compose_core.errors import ShapeError, UsageError
from compose_metrics.dense.judged import ReadPerSample
from compose_metrics.metric import Keys
from compose_metrics.result import JSON, Result, Source

Aspect = Literal["key", "tempo", "harmony", "recall"]
"""Same scale, same tempo, correlation of pitch classes, and chords that come back."""


@final
class StructureAgreement(ReadPerSample):
    """Agreement of distant parts in one aspect: ``structure-key``, ``structure-tempo`` and so on.

    Args:
        aspect: Which.
        judge: Who heard, if it has a name; it becomes part of the id.
        apart: Seconds between parts that count as distant; the judge's.
        real: The value of real music under the same judge, which is what can be reached.
        chance: The value of parts that have nothing to do with one another.
    """

    def __init__(
        self,
        aspect: Aspect,
        *,
        judge: Source | None = None,
        apart: float | None = None,
        real: float | None = None,
        chance: float | None = None,
    ) -> None:
        if aspect not in get_args(Aspect):
            raise UsageError("unknown aspect", got=aspect, expected=", ".join(get_args(Aspect)))
        self.id = f"structure-{aspect}"
        super().__init__(judge)
        self.aspect: Aspect = aspect
        self.apart, self.real, self.chance = apart, real, chance

    def params(self) -> dict[str, JSON]:
        """What the judge does."""
        return {"apart": self.apart}

    def update(self, agreement: Tensor, *, keys: Keys = None) -> None:
        """Take a batch.

        Args:
            agreement: What the judge said of each piece (B,), from -1 to 1.
            keys: Sample numbers.

        Raises:
            ShapeError: Not such values.
        """
        bad = agreement.dim() != 1 or not agreement.is_floating_point()
        if bad or bool((agreement.abs() > 1 + 1e-6).any()):
            raise ShapeError(
                "agreements of pieces",
                got=f"{agreement.dtype} {tuple(agreement.shape)}",
                expected="float (B,), from -1 to 1",
            )
        self.add(keys, value=agreement.double())

    def compute(self) -> Result:
        """The mean, with an interval over pieces, and how much of the way from chance it is."""
        found = super().compute()
        parts: dict[str, float] = {}
        if self.real is not None:
            parts["real"] = self.real
        if self.chance is not None:
            parts["chance"] = self.chance
        if self.real is not None and self.chance is not None and self.real > self.chance:
            parts["share of the way"] = (found.value - self.chance) / (self.real - self.chance)
        return self._result(
            found.value,
            interval=found.interval,
            per_sample=found.per_sample,
            keys=found.keys,
            parts=parts,
        )
