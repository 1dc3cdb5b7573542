"""Trials: one page for each record, a table for each metric, methods by settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from records import RESULTS
from tables import Cell, Head, table
from workspace import NOTE

from compose_benchmarks.record import Measured
from compose_benchmarks.trials.sit import FOLDER
from compose_benchmarks.trials.trial import Entry, TrialRecord, load

WIDE = "---\nhide: [toc]\n---\n\n" + NOTE
REAL = "real"
"""The method that makes nothing and shows what can be reached: it does not compete."""

MEANING = (
    "**best** of its column · ≈ its interval overlaps with that of the best · "
    "[95 % interval]. Nothing is corrected for the number of methods and columns.\n"
)


def records(folder: Path = RESULTS) -> list[TrialRecord]:
    """Every record, by name."""
    return [load(path) for path in sorted((folder / FOLDER).glob("*.json"))]


def pages(folder: Path = RESULTS) -> dict[str, str | bytes]:
    """A page for each record, and the records for download."""
    found: dict[str, str | bytes] = {}
    for record in records(folder):
        found[f"leaderboards/{record.trial}.md"] = WIDE + "\n".join(_page(record))
        path = folder / FOLDER / f"{record.trial}.json"
        found[f"leaderboards/data/{FOLDER}/{path.name}"] = path.read_bytes()
        found[f"fragments/results/{record.trial}.md"] = "\n".join(_tables(record))
    return found


def nav(folder: Path = RESULTS) -> list[object]:
    """The pages, in the navigation."""
    return [{one.trial: f"leaderboards/{one.trial}.md"} for one in records(folder)]


def section(folder: Path = RESULTS) -> str:
    """What the index of leaderboards says of them; nothing without a record."""
    found = records(folder)
    if not found:
        return ""
    lines = ["\n## Trials\n", "Tables whose samples are no pictures of scenes.\n"]
    lines += [f"- [{one.trial}]({one.trial}.md): {one.summary}" for one in found]
    return "\n".join(lines) + "\n"


def _page(record: TrialRecord) -> Iterator[str]:
    yield f"# {record.trial}\n"
    yield f"{record.summary[:1].upper()}{record.summary[1:]}. {record.n} samples in each cell.\n"
    if record.quick:
        yield "A quick run: too few samples to say anything.\n"
    yield f"{escape(record.protocol)}\n"
    yield MEANING
    if REAL in record.methods:
        yield f"`{REAL}` shows what can be reached and does not compete.\n"
    yield from _tables(record)
    yield "## Methods\n"
    yield "\n".join(f"- `{name}`: {escape(line)}" for name, line in record.methods.items()) + "\n"
    yield "## Again\n"
    yield f"```sh\n{record.command}\n```\n"
    commit = record.code.commit[:12] or "unknown"
    seconds = sum(one.seconds for one in record.entries)
    yield (
        f"`{record.model.id}`, {record.date[:10]}, commit `{commit}`, torch {record.env.torch}, "
        f"{record.hardware.gpu or record.hardware.cpu}, {seconds / 60:.0f} minutes. "
        f"[JSON](data/{FOLDER}/{record.trial}.json)\n"
    )


def _tables(record: TrialRecord) -> Iterator[str]:
    """One for each metric."""
    settings = list(dict.fromkeys(one.setting for one in record.entries))
    names = list(dict.fromkeys(m.id for one in record.entries for m in one.metrics))
    for name in names:
        cells = {(one.method, one.setting): _metric(one, name) for one in record.entries}
        up = next(one for one in cells.values() if one is not None).higher_is_better
        arrow = "▲" if up else "▼"
        heads = [Head("method", numbers=False)]
        heads += [Head(escape(f"{record.varies} {setting}")) for setting in settings]
        rivals = [method for method in record.methods if method != REAL]
        best = {s: _best([cells.get((m, s)) for m in rivals]) for s in settings}
        rows = [
            [
                Cell(f"<code>{escape(method)}</code>", method, words=True),
                *(_cell(method, cells.get((method, s)), best[s]) for s in settings),
            ]
            for method in record.methods
        ]
        yield f"<p><code>{escape(name)}</code> {arrow}</p>\n"
        yield table(heads, rows, f"{record.trial}, {name}")


def _metric(entry: Entry, name: str) -> Measured | None:
    return next((one for one in entry.metrics if one.id == name), None)


def _best(found: Sequence[Measured | None]) -> Measured | None:
    there = [one for one in found if one is not None]
    if not there:
        return None
    pick = max if there[0].higher_is_better else min
    return pick(there, key=lambda one: one.value)


def _cell(method: str, one: Measured | None, best: Measured | None) -> Cell:
    if one is None:
        return Cell("–")
    tied = method != REAL and best is not None and one is not best and _overlap(one, best)
    html = f"{one.value:.3g}" + ("&nbsp;≈" if tied else "")
    if one.interval is not None:
        low, high = one.interval.low, one.interval.high
        html += f'<span class="interval">{low:.3g} to {high:.3g}</span>'
    return Cell(html, one.value, best=one is best)


def _overlap(one: Measured, other: Measured) -> bool:
    a, b = one.interval, other.interval
    return a is not None and b is not None and a.low <= b.high and b.low <= a.high
