"""Sitting a trial: every method under every setting, then one record of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compose_benchmarks import facts, stored
from compose_benchmarks.measure import files_of, measured
from compose_benchmarks.record import ModelInfo
from compose_benchmarks.sources import trial as sources_of
from compose_benchmarks.trials.cells import Cells
from compose_benchmarks.trials.trial import Entry, Progress, Sitting, Trial, TrialRecord
from compose_core.errors import UsageError
from compose_core.run.execute import locate_model

__all__ = ["FOLDER", "sit", "write"]

FOLDER = "trials"
"""Where records are, below the results."""


def sit(
    trial: Trial,
    sitting: Sitting,
    *,
    command: str,
    methods: Sequence[str] = (),
    quick: bool = False,
    out: Path | None = None,
    progress: Progress = lambda _: None,
) -> TrialRecord:
    """Try everything.

    Seconds of a cell that was there already are those that it took then.

    Args:
        trial: What.
        sitting: How.
        command: That makes the record again.
        methods: Some of the trial's; all by default.
        quick: Whether this says little.
        out: Folder where cells are kept as soon as they are measured, and found again if code,
            models, machine and numbers are the same.
        progress: Hears of each cell of the table before it is made.

    Raises:
        UsageError: A method is unknown, there are no samples, or batches of none.
        ComposeError: A cell cannot be read or written.
    """
    names = list(methods) or list(trial.methods)
    if unknown := [name for name in names if name not in trial.methods]:
        raise UsageError(
            "no method of this trial", got=", ".join(unknown), expected=", ".join(trial.methods)
        )
    if sitting.n < 2:
        raise UsageError("a trial needs samples", got=sitting.n, expected="2 or more")
    if min(sitting.micro_batch, sitting.max_batch) < 1:
        raise UsageError(
            "the batches make no sense",
            got=f"{sitting.micro_batch} samples, {sitting.max_batch} rows",
            expected="1 or more",
        )
    digest = sources_of(trial.measure.__module__)
    folder, weights = locate_model(sitting.model)
    hardware, env = facts.hardware(sitting.device), facts.environment()
    conditions = {
        **asdict(sitting),
        "version": trial.version,
        "code": digest,
        "weights": weights,
        "judges": {name: locate_model(name)[1] for name in trial.judges},
        "hardware": hardware.model_dump(),
        "env": env.model_dump(),
    }
    cells = None if out is None else Cells.below(out / FOLDER, trial.name, conditions)
    entries: list[Entry] = []
    for name in names:
        for setting in trial.settings:
            entry = None if cells is None else cells.get(name, str(setting))
            if entry is None:
                progress(f"{name}, {trial.varies} {setting}")
                entry = _tried(trial, sitting, name, setting)
                if cells is not None:
                    cells.put(entry)
            entries.append(entry)
    return TrialRecord(
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        command=command,
        trial=trial.name,
        trial_version=trial.version,
        summary=trial.summary,
        protocol=trial.protocol,
        varies=trial.varies,
        n=sitting.n,
        quick=quick,
        model=ModelInfo(id=sitting.model, sha256=weights, files=files_of(folder)),
        methods={name: trial.methods[name] for name in names},
        entries=tuple(entries),
        code=facts.code(digest, digest),
        env=env,
        hardware=hardware,
    )


def _tried(trial: Trial, sitting: Sitting, method: str, setting: Any) -> Entry:
    start = time.perf_counter()
    found = trial.measure(sitting, method, setting)
    return Entry(
        method=method,
        setting=str(setting),
        metrics=tuple(measured(one) for one in found),
        seconds=time.perf_counter() - start,
    )


def write(record: TrialRecord, results: Path) -> Path:
    """Write a record where tables are made from.

    Raises:
        ComposeError: The folder cannot be written.
    """
    path = results / FOLDER / f"{record.trial}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    stored.write(record, path)
    return path
