"""Results that papers report: one record for each of their tables, apart from what we measure.

A record is a JSON file under `benchmarks/results/papers`. Its numbers are the paper's own, under
the paper's own protocol, so they are shown beside our leaderboards and never ranked with them. A
number is written with the decimals that the paper prints (`0.6400`); a cell that the paper leaves
empty, or that cannot be read, is `null` and its row says why.
"""

import json
from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from compose_core.errors import ComposeError

_ID = r"^[a-z0-9]+(-[a-z0-9]+)*$"

Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    """A JSON object: unknown keys are errors, values are not converted, nothing changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Paper(_Part):
    """Where the numbers were published.

    Attributes:
        key: short name, the first part of the record's id.
        title: title of the paper.
        arxiv: identifier on arXiv, or ``None`` if no such version is known.
        year: year of the version that was read.
        venue: where it appeared.
    """

    key: Annotated[str, Field(pattern=_ID)]
    title: Text
    arxiv: Annotated[str, Field(pattern=r"^\d{4}\.\d{4,5}$")] | None
    year: Annotated[int, Field(ge=1990, le=2100)]
    venue: Text


class Column(_Part):
    """One column of numbers.

    Attributes:
        name: heading as printed, without the arrow.
        group: heading above it that spans several columns; "" if there is none.
        unit: unit of the numbers; "" for a pure number.
        higher_is_better: direction; ``None`` for a number that is no score, such as a size.
        decimals: digits that the paper prints after the point.
    """

    name: Text
    group: str = ""
    unit: str = ""
    higher_is_better: bool | None
    decimals: Annotated[int, Field(ge=0, le=9)]

    @property
    def label(self) -> str:
        """Group and name together, unique within its table."""
        return f"{self.group} / {self.name}" if self.group else self.name

    def shown(self, value: float | None) -> str:
        """A number with the decimals of the paper; "–" for an empty cell."""
        return "–" if value is None else f"{value:.{self.decimals}f}"


class Row(_Part):
    """One row: a method under given settings.

    Attributes:
        name: method as printed, without the number of its citation.
        settings: cells of the row that are words, such as the sampler, by their heading.
        values: one number per column; ``None`` where nothing is printed or readable.
        printed: text of a cell as it was read, by the column's label, where it is not the number.
        note: why a value is missing or doubtful.
    """

    name: Text
    settings: dict[str, Text] = {}
    values: Annotated[tuple[float | None, ...], Field(min_length=1, strict=False)]
    printed: dict[str, Text] = {}
    note: str = ""

    @model_validator(mode="after")
    def _gaps_are_explained(self) -> Self:
        if None in self.values and not self.note:
            raise ValueError("a row with a missing value needs a note that says why")
        return self

    @property
    def label(self) -> str:
        """Name and settings together, unique within its table."""
        extra = ", ".join(f"{key} {word}" for key, word in self.settings.items())
        return f"{self.name} ({extra})" if extra else self.name


class Table(_Part):
    """One results table of a paper.

    Attributes:
        version: version of this format.
        id: name of the record and, before ``.json``, of its file.
        provenance: always "paper-reported": nobody here measured these numbers.
        paper: where it was published.
        table: its number in the paper.
        caption: caption as printed, without citations.
        columns: the columns of numbers, left to right.
        rows: the rows, top to bottom.
        protocol: how the paper measured, as far as it says.
        note: doubts about the reading, and where the paper contradicts itself.
    """

    version: Literal[1]
    id: Annotated[str, Field(pattern=_ID)]
    provenance: Literal["paper-reported"]
    paper: Paper
    table: Text
    caption: Text
    columns: Annotated[tuple[Column, ...], Field(min_length=1, strict=False)]
    rows: Annotated[tuple[Row, ...], Field(min_length=1, strict=False)]
    protocol: Text
    note: str = ""

    @model_validator(mode="after")
    def _rows_fit_the_columns(self) -> Self:
        labels = [column.label for column in self.columns]
        _only_once(labels, "columns")
        _only_once((row.label for row in self.rows), "rows")
        for row in self.rows:
            if len(row.values) != len(labels):
                raise ValueError(
                    f"row {row.label!r} has {len(row.values)} values for {len(labels)} columns"
                )
            stray = sorted(row.printed.keys() - set(labels))
            if stray:
                raise ValueError(f"row {row.label!r} quotes an unknown column {stray[0]!r}")
        if not self.id.startswith(f"{self.paper.key}-"):
            raise ValueError(f"the id {self.id!r} does not begin with {self.paper.key + '-'!r}")
        return self

    def value(self, row: str, column: str) -> float | None:
        """The number at a row's and a column's label.

        Raises:
            ComposeError: the table has no such row or column.
        """
        rows = {found.label: found for found in self.rows}
        columns = {found.label: place for place, found in enumerate(self.columns)}
        for wanted, known, kind in ((row, rows, "row"), (column, columns, "column")):
            if wanted not in known:
                raise ComposeError(
                    f"{self.table} of {self.paper.key} has no such {kind}",
                    got=repr(wanted),
                    expected="one of " + ", ".join(map(repr, known)),
                )
        return rows[row].values[columns[column]]


def load_table(path: str | Path) -> Table:
    """One record.

    Raises:
        ComposeError: the file cannot be read, is not JSON, does not follow the format, or has
            another name than its record.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ComposeError(f"{path.name}: the record cannot be read", got=error) from error
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ComposeError(f"{path.name}: the record is not valid JSON", got=error) from error
    try:
        table = Table.model_validate(data)
    except ValidationError as error:
        raise _explained(error, path.name) from error
    if path.name != f"{table.id}.json":
        raise ComposeError(
            f"{path.name}: file and record have different names",
            got=table.id,
            expected=path.stem,
            remedy=f"rename the file to {table.id}.json",
        )
    return table


def load_tables(folder: str | Path) -> tuple[Table, ...]:
    """All records of a folder, by id; ids are unique because they are the names of the files.

    Raises:
        ComposeError: the folder has no records, or one of them is not usable.
    """
    paths = sorted(Path(folder).glob("*.json"))
    if not paths:
        raise ComposeError(
            "no records of papers found",
            got=folder,
            expected="a folder that holds *.json",
            remedy="give the folder benchmarks/results/papers of a checkout",
        )
    return tuple(load_table(path) for path in paths)


def _only_once(labels: Iterable[str], kind: str) -> None:
    double = [label for label, count in Counter(labels).items() if count > 1]
    if double:
        raise ValueError(f"two {kind} are called {double[0]!r}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON allows a key twice and keeps the last; here that is an error."""
    double = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if double:
        raise ValueError(f"the key {double[0]!r} appears twice")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON knows")


def _explained(error: ValidationError, origin: str) -> ComposeError:
    faults = error.errors(include_url=False)
    # A misspelt key is two faults, one unknown and one missing: the unknown one explains both.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    where = ".".join(map(str, cast("tuple[int | str, ...]", first["loc"]))) or "the whole record"
    near: list[str] = []
    if first["type"] == "extra_forbidden":
        near = get_close_matches(str(first["loc"][-1]), _KEYS, 1)
    own = first["type"] == "value_error"  # our own checks name what they found themselves
    got = repr(first["input"])
    return ComposeError(
        f"{origin}: `{where}` is wrong",
        got=None if own else got if len(got) <= 100 else f"{got[:97]}...",
        expected=first["msg"].removeprefix("Value error, "),
        remedy=f"did you mean `{near[0]}`?" if near else None,
    )


_KEYS = sorted({key for part in (Table, Paper, Column, Row) for key in part.model_fields})
