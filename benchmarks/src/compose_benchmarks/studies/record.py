"""What is kept of a study: every value of every pair under every setting, and what led to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from compose_benchmarks import stored
from compose_benchmarks.record import (
    Code,
    Environment,
    Hardware,
    Interval,
    Measured,
    MethodInfo,
    ModelInfo,
)

__all__ = ["SCHEMA", "Difference", "Series", "StudyRecord", "StudyTask", "Walk", "load", "save"]

SCHEMA = 1

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    """A JSON object: unknown keys are errors, values are not converted, nothing changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class StudyTask(_Part):
    """What was asked.

    Attributes:
        name: Of the study.
        version: Of the study.
        summary: Its question.
        pairs: What was drawn: scenes, seeds.
        pairs_sha256: Over these.
        split: Which scenes of the world.
        n: Number of pairs.
        quick: Whether this was a short run that says little.
    """

    name: Text
    version: Positive
    summary: Text
    pairs: tuple[dict[str, Any], ...]
    pairs_sha256: Hash
    split: Text
    n: Positive
    quick: bool = False


class Walk(_Part):
    """How pictures were made; `seeds` has one for each pair, the same under every setting."""

    name: Literal["ddim"] = "ddim"
    steps: Positive
    guidance: Annotated[float, Field(ge=0)]
    cfg: Text
    prompt: str = ""
    seeds: tuple[Annotated[int, Field(ge=0)], ...]
    device: Text
    micro_batch: Positive
    max_batch: Positive
    threads: Positive


class Series(_Part):
    """What was found under one setting, or under several that are averaged for each pair."""

    id: Text
    settings: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    metrics: Annotated[tuple[Measured, ...], Field(min_length=1)]

    def metric(self, name: str) -> Measured:
        """The metric of a name, with or without its network."""
        return next(one for one in self.metrics if name in (one.id, one.id.partition("@")[0]))


class Difference(_Part):
    """`metric` of series `a` less that of `b`, on the same pairs.

    The interval is missing where the pairs are too few to say anything; `p` is two-sided.
    """

    metric: Text
    a: Text
    b: Text
    value: float
    interval: Interval | None
    p: Annotated[float, Field(ge=0, le=1)]
    n: Positive


class StudyRecord(_Part):
    """Everything about one study."""

    schema_version: Literal[1] = SCHEMA
    run_id: Hash
    provenance: Literal["measured"] = "measured"
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    command: Text
    task: StudyTask
    method: MethodInfo
    model: ModelInfo
    adapter: ModelInfo
    walk: Walk
    series: Annotated[tuple[Series, ...], Field(min_length=1)]
    differences: tuple[Difference, ...]
    pictures: Positive
    seconds_per_picture: Annotated[float, Field(ge=0)]
    code: Code
    env: Environment
    hardware: Hardware

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [one.id for one in self.series]
        if len(set(names)) < len(names):
            raise ValueError("a series stands twice in the record")
        if not len(self.task.pairs) == len(self.walk.seeds) == self.task.n:
            raise ValueError("there is not one seed for each pair")
        for one in self.series:
            for metric in one.metrics:
                if metric.keys != tuple(range(self.task.n)):
                    raise ValueError(f"{metric.id} of {one.id} has not one value for each pair")
        for one in self.differences:
            if not {one.a, one.b} <= set(names):
                raise ValueError(f"{one.a} or {one.b} is compared, but not there")
        return self

    def of(self, name: str) -> Series:
        """The series of a name."""
        return next(one for one in self.series if one.id == name)


def load(path: Path) -> StudyRecord:
    """Read a record.

    Raises:
        ComposeError: The file cannot be read or is no record; the message names file and key.
    """
    return stored.read(
        StudyRecord, path, what="a study", version=SCHEMA, again="compose bench study"
    )


def save(record: StudyRecord, path: Path) -> None:
    """Write a record in one step.

    Raises:
        ComposeError: The disk is full or the folder cannot be written.
    """
    stored.write(record, path)
