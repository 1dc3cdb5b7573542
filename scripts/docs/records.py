"""Result records by suite, ranked by the same rules as ``compose bench table``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workspace import ROOT, load, packages

from compose_benchmarks.board import APART, Board, boards, read_results
from compose_benchmarks.measure import ITEMS, place
from compose_benchmarks.record import Record

RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Standing:
    """A suite and its rankings.

    Attributes:
        suite: Its name.
        summary: What it asks; empty where no package announces it.
        boards: The largest n first; runs of other items, versions, n or settings stand in boards
            of their own, since they cannot be compared.
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
    if not any(p.parent.name not in APART and p.name != ITEMS for p in folder.glob("*/*.json")):
        return []
    found, _ = read_results(folder)
    made: list[Standing] = []
    for suite, records in sorted(found.items()):
        summary, primary = about(suite)
        ranked = tuple(boards(records, primary))
        items = folder / suite / ITEMS
        made.append(Standing(suite, summary, ranked, items if items.is_file() else None, folder))
    return made


def name(record: Record) -> str:
    """What a row is called: the method, and the model where it is not the embedded one."""
    model = "" if record.model.id == "sd-tiny" else f", {record.model.id}"
    return record.method.name + model


def strip_name(record: Record) -> str:
    """What the strip of a run is called on the site."""
    return place(Path(), record).with_suffix(".png").name


@cache
def about(suite: str) -> tuple[str, str | None]:
    """Summary and ranking metric of a suite, if a package of this checkout announces it."""
    for package in packages():
        reference = package.entry_points("compose.suites").get(suite)
        if reference is not None:
            found = load(reference)
            return found.summary, found.primary
    return "", None
