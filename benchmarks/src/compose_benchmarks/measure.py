"""From pictures to a result record."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_benchmarks import facts, record
from compose_benchmarks.gallery import Gallery
from compose_benchmarks.items import Item
from compose_benchmarks.runner.execute import Run, outcome
from compose_benchmarks.sources import scoring
from compose_core.errors import ComposeError, UsageError
from compose_core.run.files import write_atomic
from compose_core.zoo import base_folder
from compose_core.zoo.digest import COUNTED, remembered_digest

if TYPE_CHECKING:
    from compose_metrics import Result

__all__ = ["check_place", "describe", "files_of", "measured", "place", "publish", "score", "write"]

SPLIT = "compose_worlds primitives, scenes from 10,000,000 on (never trained on)"

STRIP = 8
"""Pictures that are published for people to look at."""

_SAME = ("steps", "guidance", "dtype")

ITEMS = "items.json"
"""Name of the file beside records that shows what was asked for."""


def score(gallery: Gallery) -> list[Result]:
    """Everything that the suite measures.

    Raises:
        ComposeError: Too few pictures for a metric; it says how many it needs.
    """
    return [result for scorer in gallery.suite.scorers for result in scorer(gallery)]


def describe(
    run: Run, gallery: Gallery, results: list[Result], *, command: str, quick: bool
) -> record.Record:
    """The record of a run that was made and scored."""
    spec, cost = run.spec, outcome(run)
    return record.Record(
        run_id=spec.run_id,
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        command=command,
        task=record.Task(
            name=run.suite.name,
            version=run.suite.version,
            items_sha256=run.items_sha256,
            split=SPLIT,
            n=len(gallery.items),
            skipped=len(gallery.skipped),
            quick=quick,
        ),
        method=facts.method_info(run.method),
        model=record.ModelInfo(id=spec.model, sha256=spec.model_sha256, files=_all_files(run)),
        sampler=record.SamplerInfo(
            name=spec.sampler,
            steps=spec.steps,
            guidance=spec.guidance,
            seeds=tuple(item.seed for item in run.items),
            dtype=spec.dtype,
            device=spec.device,
            micro_batch=spec.micro_batch,
            max_batch=spec.max_batch,
            threads=spec.threads,
        ),
        metrics=tuple(measured(result) for result in results),
        cost=record.Cost(
            timed=cost.timed,
            seconds=cost.seconds,
            seconds_per_item=cost.seconds_per_item,
            items_per_second=cost.timed / cost.seconds if cost.seconds else 0.0,
            peak_memory_bytes=cost.peak_bytes,
            evaluations_per_item=cost.evaluations_per_item,
        ),
        code=facts.code(spec.sources_sha256, scoring(run.suite)),
        env=facts.environment(),
        hardware=facts.hardware(run.job.device),
    )


def place(results: Path, made: record.Record) -> Path:
    """Where a record is published."""
    return _place(results, made.task.name, made.method.name, made.model.id)


def _place(results: Path, suite: str, method: str, model: str) -> Path:
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in model).strip("-.")
    name = method if model == "sd-tiny" else f"{method}@{plain}"
    return results / suite / f"{name}.json"


def check_place(results: Path, run: Run, *, replace: bool) -> None:
    """Refuse to publish a run where it would spoil what stands there.

    Args:
        results: Folder of all results.
        run: A run that may not have been made yet.
        replace: Whether a record of a longer run, or of another sampler, may be overwritten.

    Raises:
        ComposeError: It would overwrite such a record, or stand beside records of other items.
    """
    suite, spec = run.suite, run.spec
    path = _place(results, suite.name, spec.method, spec.model)
    if len(run.items) < suite.n and not replace:
        raise UsageError(
            "so few pictures say too little to be published",
            got=f"n = {len(run.items)}",
            expected=f"at least {suite.n}",
            remedy="leave out --num, or add --replace",
        )
    for other in sorted(path.parent.glob("*.json")):
        if other.name == ITEMS or (other == path and replace):
            continue
        stands = record.load(other)
        if other == path:
            _keep(stands, run, path)
        elif stands.task.items_sha256 != run.items_sha256:
            raise ComposeError(
                "results of other items stand there",
                got=other,
                expected=f"records of the {len(run.items)} items of {suite.name!r}",
                remedy="remove it, or publish into another folder by --results",
            )


def _keep(stands: record.Record, run: Run, path: Path) -> None:
    """Refuse to overwrite a record of a longer run, or of another sampler."""
    asked, then = run.spec, stands.sampler
    pairs = {name: (getattr(then, name), getattr(asked, name)) for name in _SAME}
    pairs["sampler"] = (then.name, asked.sampler)
    differ = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if len(then.seeds) > len(run.items):
        differ["n"] = (len(then.seeds), len(run.items))
    if differ:
        raise UsageError(
            "a result that was measured otherwise stands there",
            got=f"{path}: " + "; ".join(f"{k}: {a}, and now {b}" for k, (a, b) in differ.items()),
            remedy="measure in the same way, or add --replace",
        )


def write(run: Run, made: record.Record) -> Path:
    """Keep the record beside the pictures; one for each number of them."""
    path = run.folder / f"record-{len(run.items)}.json"
    record.save(made, path)
    return path


def publish(results: Path, run: Run, gallery: Gallery, made: record.Record) -> Path:
    """Write the items, a strip of the first pictures and the record where tables are made from.

    The record comes last: readers compare it with the items, so a kill in between is noticed.

    Raises:
        ComposeError: Records of other items stand there.
    """
    check_place(results, run, replace=True)
    path = place(results, made)
    write_atomic(path.with_name(ITEMS), _items(run.items, run))
    write_atomic(path.with_suffix(".png"), _strip(gallery))
    record.save(made, path)
    return path


def _items(items: tuple[Item, ...], run: Run) -> bytes:
    content = {
        "suite": run.suite.name,
        "version": run.suite.version,
        "sha256": run.items_sha256,
        "items": [item.to_json() for item in items],
    }
    lines = json.dumps(content, ensure_ascii=True).replace('{"number"', '\n{"number"')
    return (lines + "\n").encode()


def _strip(gallery: Gallery) -> bytes:
    import numpy as np
    from PIL import Image

    row = gallery.pictures[:STRIP].permute(2, 0, 3, 1).flatten(1, 2).cpu().numpy()
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(row)).save(stream, "PNG")
    return stream.getvalue()


def _all_files(run: Run) -> dict[str, str]:
    """Those of the model, and those of the method's adapters."""
    found = files_of(run.weights)
    for i, folder in enumerate(run.adapters):
        part = f"adapter-{i + 1}" if i else "adapter"
        found |= {f"{part}/{name}": value for name, value in files_of(folder).items()}
    return found


def files_of(folder: Path) -> dict[str, str]:
    """The sha256 of each file of a model that decides what it computes, of its base as well."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    base = base_folder(folder)
    below = {} if base == folder else files_of(base)
    return {f"base/{name}": value for name, value in below.items()} | {
        path.relative_to(folder).as_posix(): remembered_digest(path)
        for path in found
        if path.suffix in COUNTED
    }


def measured(result: Result) -> record.Measured:
    """A result in the words of a record.

    Raises:
        ComposeError: Its value, or that of a picture, is not finite: nothing can be ranked by it.
    """
    interval, network = result.interval, result.extractor
    values = None if result.per_sample is None else result.per_sample.tolist()
    keys = None if result.keys is None else result.keys.tolist()
    if values is not None and keys is None:
        values = None  # nobody could tell which items they belong to
    if not all(map(math.isfinite, [float(result.value), *(values or ())])):
        raise ComposeError("a metric has no finite value", got=f"{result.metric}: {result.value}")
    usable = interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high)
    return record.Measured(
        id=result.metric,
        version=result.version,
        value=float(result.value),
        unit=result.unit,
        higher_is_better=result.higher_is_better,
        n=result.n,
        n_reference=result.n_reference,
        interval=record.Interval(
            low=float(interval.low),
            high=float(interval.high),
            level=interval.level,
            how=interval.how,
        )
        if interval is not None and usable
        else None,
        params=_plain(result.params),
        extractor=record.Extractor(
            id=network.id, sha256=network.sha256, reference=network.reference
        )
        if network is not None
        else None,
        parts={name: _part(float(value)) for name, value in result.parts.items()},
        per_sample=None if values is None else tuple(map(float, values)),
        keys=None if keys is None or values is None else tuple(map(int, keys)),
    )


def _part(value: float) -> float | str:
    """JSON knows no infinite numbers: they become words."""
    return value if math.isfinite(value) else str(value)


def _plain(params: Any) -> dict[str, Any]:
    """Parameters as JSON gives them back, so that a record read again is equal."""
    return dict(json.loads(json.dumps(dict(params), default=list)))
