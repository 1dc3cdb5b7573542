"""The result record: one file for one method on one suite, with all that led to its numbers.

Unknown keys are errors, values are not converted. A metric that looks through a network of this
repository names it in its id (`fid@tiny-v1`, never `fid`), so it can never share a column with the
metric that the literature means.
"""

from __future__ import annotations

from math import fsum, isclose
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from compose_benchmarks import stored

__all__ = [
    "SCHEMA",
    "Code",
    "Cost",
    "Environment",
    "Extractor",
    "Hardware",
    "Interval",
    "Measured",
    "MethodInfo",
    "ModelInfo",
    "Record",
    "SamplerInfo",
    "Task",
    "load",
    "save",
    "schema",
]

SCHEMA = 1

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Json = Any


class _Part(BaseModel):
    """A JSON object: unknown keys are errors, values are not converted, nothing changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Code(_Part):
    """Which sources ran.

    Attributes:
        commit: of the clone; "" outside of one.
        dirty: whether files of the clone differed from that commit; None outside of one.
        sources_sha256: over the modules that decide pictures.
        scoring_sha256: over the modules that decide scores, reference sets among them.
        constraints_sha256: of the file of tested versions; "" where there is none.
    """

    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")]
    dirty: bool | None
    sources_sha256: Hash
    scoring_sha256: Hash
    constraints_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]


class MethodInfo(_Part):
    """What composed: its name, what it says of itself, and the package that it comes from."""

    name: Text
    summary: str
    package: Text
    version: Text


class ModelInfo(_Part):
    """What was composed: a model's id, one hash over all of its files, and one for each."""

    id: Text
    sha256: Hash
    files: dict[str, Hash]


class Task(_Part):
    """What had to be drawn.

    Attributes:
        name: of the suite.
        version: of the suite.
        items_sha256: over all items: scenes, seeds, negative prompts.
        split: which scenes of the world.
        n: pictures that were measured.
        skipped: pictures that could not be read and were left out.
        quick: whether this was a short run that says little.
    """

    name: Text
    version: Positive
    items_sha256: Hash
    split: Text
    n: Positive
    skipped: Count = 0
    quick: bool = False


class SamplerInfo(_Part):
    """How it was walked; `seeds` has one for each item."""

    name: Text
    steps: Positive
    guidance: Annotated[float, Field(ge=0)]
    seeds: tuple[Count, ...]
    dtype: Text
    device: Text
    micro_batch: Positive
    max_batch: Positive
    threads: Positive


class Interval(_Part):
    """A confidence interval and the procedure that it comes from."""

    low: float
    high: float
    level: Annotated[float, Field(gt=0, lt=1)]
    how: Text


class Extractor(_Part):
    """A network that a metric looks through; `reference` when the literature means just it."""

    id: Text
    sha256: str
    reference: bool


class Measured(_Part):
    """One metric.

    Attributes:
        id: with `@network` for networks of this repository.
        version: of its definition.
        value: the number.
        unit: of value and interval; "" for a pure number.
        higher_is_better: direction.
        n: samples.
        n_reference: reference samples, where there are any.
        interval: how sure the value is.
        params: all that changes the value.
        extractor: the network.
        parts: numbers that the value consists of.
        per_sample: value of each sample, where it has them; their mean is the value.
        keys: the items that these values belong to.
    """

    id: Text
    version: Positive
    value: float
    unit: str
    higher_is_better: bool
    n: Positive
    n_reference: Positive | None
    interval: Interval | None
    params: dict[str, Json]
    extractor: Extractor | None
    parts: dict[str, float | str]
    per_sample: tuple[float, ...] | None = None
    keys: tuple[Count, ...] | None = None

    @model_validator(mode="after")
    def _one_kind_of_column(self) -> Self:
        inside = self.extractor is not None and not self.extractor.reference
        if inside and "@" not in self.id:
            raise ValueError(f"{self.id} looks through a network of its own: say so, id@network")
        if self.per_sample is not None and self.keys is None:
            raise ValueError(f"{self.id} has values without the items that they belong to")
        if self.per_sample is not None and len(self.per_sample) != len(self.keys or ()):
            raise ValueError(f"{self.id} has not one value for each of its items")
        return self

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        """Numbers that say the same thing twice agree."""
        values, keys = self.per_sample, self.keys or ()
        if len(set(keys)) < len(keys):
            raise ValueError(f"{self.id} has an item twice")
        if values is not None and len(values) != self.n:
            raise ValueError(f"{self.id} has {len(values)} values, and n = {self.n}")
        if values is not None and not isclose(
            fsum(values) / self.n, self.value, rel_tol=1e-6, abs_tol=1e-6
        ):
            raise ValueError(f"{self.id} is {self.value}, which is not the mean of its values")
        if self.interval is not None and self.interval.low > self.interval.high:
            raise ValueError(f"the interval of {self.id} ends before it begins")
        return self

    @property
    def in_house(self) -> bool:
        """Whether it looks through a network of this repository."""
        return self.extractor is not None and not self.extractor.reference


class Environment(_Part):
    """Versions: Python, torch, CUDA, the operating system, and packages that matter."""

    python: Text
    torch: Text
    cuda: str
    os: Text
    packages: dict[str, str]


class Hardware(_Part):
    """The machine: processor, its cores, graphics card ("" for none), memory in bytes."""

    cpu: str
    cores: Positive
    gpu: str
    ram_bytes: Count


class Cost(_Part):
    """What it took.

    Attributes:
        timed: pictures whose making was timed; what is said of one item is a mean over these.
        seconds: of making them, summed over processes, without loading.
        seconds_per_item: of making one.
        items_per_second: made by one process in a second.
        peak_memory_bytes: largest of any process.
        evaluations_per_item: rows that networks were asked about for one picture.
    """

    timed: Count
    seconds: Annotated[float, Field(ge=0)]
    seconds_per_item: Annotated[float, Field(ge=0)]
    items_per_second: Annotated[float, Field(ge=0)]
    peak_memory_bytes: Count
    evaluations_per_item: Annotated[float, Field(ge=0)]


class Record(_Part):
    """Everything about one method on one suite."""

    schema_version: Literal[1] = SCHEMA
    run_id: Hash
    provenance: Literal["measured"] = "measured"
    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    command: Text
    task: Task
    method: MethodInfo
    model: ModelInfo
    sampler: SamplerInfo
    metrics: Annotated[tuple[Measured, ...], Field(min_length=1)]
    cost: Cost
    code: Code
    env: Environment
    hardware: Hardware

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [metric.id for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError("a metric stands twice in the record")
        asked = self.task.n + self.task.skipped
        if len(self.sampler.seeds) != asked:
            raise ValueError("there is not one seed for each item")
        for one in self.metrics:
            if max(one.keys or (0,)) >= asked:
                raise ValueError(f"{one.id} has values of items that were not asked for")
        if self.cost.timed > asked:
            raise ValueError("more pictures were timed than asked for")
        return self

    def metric(self, name: str) -> Measured | None:
        """The metric of that id, if it was measured."""
        return next((one for one in self.metrics if one.id == name), None)


def load(path: Path) -> Record:
    """Read a record.

    Raises:
        ComposeError: The file cannot be read or is no record; the message names file and key.
    """
    return stored.read(Record, path, what="a benchmark", version=SCHEMA, again="compose bench run")


def save(record: Record, path: Path) -> None:
    """Write a record in one step.

    Raises:
        ComposeError: The disk is full or the folder cannot be written.
    """
    stored.write(record, path)


def schema() -> dict[str, Any]:
    """The JSON schema of records."""
    return Record.model_json_schema()
