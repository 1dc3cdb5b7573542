"""Sitting a trial: every method under every setting, then one record of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from compose_benchmarks import facts, stored
from compose_benchmarks.measure import files_of, measured
from compose_benchmarks.record import ModelInfo
from compose_benchmarks.sources import trial as sources_of
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
    progress: Progress = lambda _: None,
) -> TrialRecord:
    """Try everything.

    Args:
        trial: What.
        sitting: How.
        command: That makes the record again.
        methods: Some of the trial's; all by default.
        quick: Whether this says little.
        progress: Hears of each cell of the table before it is made.

    Raises:
        UsageError: A method is unknown, or there are no samples.
    """
    names = list(methods) or list(trial.methods)
    if unknown := [name for name in names if name not in trial.methods]:
        raise UsageError(
            "no method of this trial", got=", ".join(unknown), expected=", ".join(trial.methods)
        )
    if sitting.n < 2:
        raise UsageError("a trial needs samples", got=sitting.n, expected="2 or more")
    entries: list[Entry] = []
    for name in names:
        for setting in trial.settings:
            progress(f"{name}, {trial.varies} {setting}")
            start = time.perf_counter()
            found = trial.measure(sitting, name, setting)
            taken = time.perf_counter() - start
            entries.append(
                Entry(
                    method=name,
                    setting=str(setting),
                    metrics=tuple(measured(one) for one in found),
                    seconds=taken,
                )
            )
    digest = sources_of(trial.measure.__module__)
    folder, weights = locate_model(sitting.model)
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
        env=facts.environment(),
        hardware=facts.hardware(sitting.device),
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
