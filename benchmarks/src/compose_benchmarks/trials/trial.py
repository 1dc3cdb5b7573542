"""What a trial is: methods, settings, and a way to measure one under the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from compose_benchmarks import stored
from compose_benchmarks.record import Code, Environment, Hardware, Measured, ModelInfo
from compose_metrics.result import Result

__all__ = ["Entry", "Sitting", "Trial", "TrialRecord", "load"]

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """How a trial is sat.

    Attributes:
        model: Id in the zoo, or folder, of what is tried.
        n: Samples of each method under each setting.
        device: Where it is computed.
        max_batch: Most rows of one network call.
        micro_batch: Samples that are made together.
        options: What the trial leaves open, such as a number of steps.
    """

    model: str
    n: int
    device: str = "cpu"
    max_batch: int = 64
    micro_batch: int = 64
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


Try = Callable[[Sitting, str, Any], "Sequence[Result]"]
"""A sitting, the name of a method and a setting to what was measured."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One table of a paper.

    Attributes:
        name: In commands and file names.
        version: Raised whenever samples or metrics change.
        summary: What it asks, in one line.
        protocol: How samples are made and judged, in a few sentences.
        methods: By name, with a line on each.
        varies: What a setting is, as the head of a column says it.
        settings: In order.
        measure: See `Try`.
        model: What is tried by default.
        n: Samples of a full trial.
        quick: Samples of a quick one.
        judges: Other models of the zoo that numbers depend on.
    """

    name: str
    version: int = 1
    summary: str
    protocol: str
    methods: Mapping[str, str]
    varies: str
    settings: Sequence[Any]
    measure: Try
    model: str
    n: int
    quick: int = 2
    judges: Sequence[str] = ()


class _Part(BaseModel):
    """A JSON object: unknown keys are errors, values are not converted, nothing changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Entry(_Part):
    """One method under one setting."""

    method: str
    setting: str
    metrics: Annotated[tuple[Measured, ...], Field(min_length=1)]
    seconds: Annotated[float, Field(ge=0)]

    def metric(self, name: str) -> Measured:
        """The metric of a name, with or without its network."""
        return next(one for one in self.metrics if name in (one.id, one.id.partition("@")[0]))


class TrialRecord(_Part):
    """Everything about one sitting; `entries` are in the order of methods, then settings."""

    schema_version: Literal[1] = 1
    provenance: Literal["measured"] = "measured"
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    command: str
    trial: str
    trial_version: Annotated[int, Field(ge=1)]
    summary: str
    protocol: str
    varies: str
    n: Annotated[int, Field(ge=1)]
    quick: bool = False
    model: ModelInfo
    methods: dict[str, str]
    entries: Annotated[tuple[Entry, ...], Field(min_length=1)]
    code: Code
    env: Environment
    hardware: Hardware

    def of(self, method: str, setting: str) -> Entry:
        """One cell of the table."""
        return next(x for x in self.entries if (x.method, x.setting) == (method, setting))


def load(path: Path) -> TrialRecord:
    """Read a record.

    Raises:
        ComposeError: The file cannot be read or is no record.
    """
    return stored.read(TrialRecord, path, what="a trial", version=1, again="compose bench trial")
