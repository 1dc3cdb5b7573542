"""Result records by suite, ranked by the same rules as ``compose bench table``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workspace import ROOT, load, packages

from compose_benchmarks.board import APART, Board, board
from compose_benchmarks.measure import ITEMS, place
from compose_benchmarks.record import Record
from compose_benchmarks.record import load as read_record

RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Standing:
    """A suite and its rankings.

    Attributes:
        suite: Its name.
        summary: What it asks; empty where no package announces it.
        boards: The largest n first; runs of other items, versions or n stand in boards of their
            own, since they cannot be compared.
        items: The file that spells out every item, if it is there.
        folder: Of all results.
    """

    suite: str
    summary: str
    boards: tuple[Board, ...]
    items: Path | None
    folder: Path

    def strip(self, record: Record) -> Path | None:
        """The file with the first pictures of a run side by side, if it was published."""
        path = place(self.folder, record).with_suffix(".png")
        return path if path.is_file() else None

    @property
    def main(self) -> Board:
        """The ranking."""
        return self.boards[0]


def standings(folder: Path = RESULTS) -> list[Standing]:
    """Every suite of which there are records, by name.

    Raises:
        ComposeError: A file is no record, or records contradict each other.
    """
    found: dict[str, list[Record]] = {}
    for path in sorted(folder.glob("*/*.json")):
        if path.name != ITEMS and path.parent.name not in APART:
            one = read_record(path)
            found.setdefault(one.task.name, []).append(one)
    made: list[Standing] = []
    for suite, records in sorted(found.items()):
        summary, primary = about(suite)
        boards = tuple(board(group, primary) for group in _comparable(records))
        items = folder / suite / ITEMS
        made.append(Standing(suite, summary, boards, items if items.is_file() else None, folder))
    return made


def name(record: Record) -> str:
    """What a row is called: the method, and the model where it is not the embedded one."""
    model = "" if record.model.id == "sd-tiny" else f", {record.model.id}"
    return record.method.name + model


def strip_name(record: Record) -> str:
    """What the strip of a run is called on the site."""
    return place(Path(), record).with_suffix(".png").name


def _comparable(records: Sequence[Record]) -> list[list[Record]]:
    """Records of the same items together, the largest n first."""
    groups: dict[tuple[int, int, str], list[Record]] = {}
    for one in records:
        key = (-one.task.version, -one.task.n, one.task.items_sha256)
        groups.setdefault(key, []).append(one)
    return [groups[key] for key in sorted(groups)]


@cache
def about(suite: str) -> tuple[str, str | None]:
    """Summary and ranking metric of a suite, if a package of this checkout announces it."""
    for package in packages():
        reference = package.entry_points("compose.suites").get(suite)
        if reference is not None:
            found = load(reference)
            return found.summary, found.primary
    return "", None
