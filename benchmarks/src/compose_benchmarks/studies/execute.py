"""Run a study: pictures, numbers, record, figure."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import torch
from PIL import Image
from torch import Tensor

from compose_benchmarks import facts, sources
from compose_benchmarks.judges import Clip
from compose_benchmarks.measure import files_of
from compose_benchmarks.record import Extractor, Interval, Measured, ModelInfo
from compose_benchmarks.studies import find, walk
from compose_benchmarks.studies.look import METRICS, cosines
from compose_benchmarks.studies.pairs import SPLIT, Drawn, Pair, digest, drawn, pairs
from compose_benchmarks.studies.record import (
    Difference,
    Series,
    StudyRecord,
    StudyTask,
    Walk,
    load,
    save,
)
from compose_benchmarks.studies.study import Contrast, Shown, Study
from compose_cnc.guidance import CFG
from compose_cnc.method import ADAPTER, CnCMethod
from compose_core.errors import UsageError
from compose_core.run.execute import locate_model
from compose_core.run.files import check_writable, write_atomic
from compose_metrics import intervals

__all__ = [
    "Sitting",
    "StudyJob",
    "check_place",
    "figure",
    "measure",
    "prepare",
    "publish",
    "write",
]

SHOWN = 8
"""Pairs that a figure may show."""


@dataclass(frozen=True, kw_only=True)
class StudyJob:
    """What a user asks for.

    Attributes:
        study: Name of the study.
        n: Number of pairs.
        model: Id in the zoo, or a folder.
        adapter: Likewise, of Compose and Conquer.
        steps: See `walk.Plan`; so all others.
        out: Folder of all studies.
    """

    study: str
    n: int
    model: str = "sd-tiny"
    adapter: str = ADAPTER
    steps: int = 30
    guidance: float = 1.0
    cfg: CFG = "drop_exemplar"
    device: str = "cpu"
    micro_batch: int = 8
    max_batch: int = 64
    threads: int = 1
    out: Path = Path("runs/studies")

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense.

        Raises:
            UsageError: One is out of range.
        """
        counts = {"n": self.n, "steps": self.steps, "micro batch": self.micro_batch}
        counts |= {"largest batch": self.max_batch, "threads": self.threads}
        for name, value in counts.items():
            if not 1 <= value <= 1_000_000:
                raise UsageError(f"the {name} makes no sense", got=value, expected="at least 1")
        if not 0 <= self.guidance <= 1000:  # also refuses NaN
            raise UsageError(
                "the guidance makes no sense", got=self.guidance, expected="0 to 1000"
            )
        if self.cfg not in get_args(CFG):
            raise UsageError("unknown cfg", got=self.cfg, expected=", ".join(get_args(CFG)))


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """A job whose pairs, weights and code are known.

    Attributes:
        job: What was asked for.
        study: The study.
        pairs: Its pairs.
        plan: All that decides the pictures.
        model: Folder of the base model.
        adapter: Folder of the adapter.
    """

    job: StudyJob
    study: Study
    pairs: tuple[Pair, ...]
    plan: walk.Plan
    model: Path
    adapter: Path

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.job.out / self.plan.run_id[:16]

    def make(self, progress: walk.Progress | None = None) -> None:
        """Make the pictures that are missing.

        Raises:
            ComposeError: The model, the adapter or the disk does not permit it.
        """
        walk.make(
            self.folder,
            self.plan,
            lambda: walk.load(self.model, self.adapter, self.job.device),
            self.pairs,
            self.study.settings,
            progress,
        )


def prepare(job: StudyJob) -> Sitting:
    """Find everything that a job names; nothing is written yet.

    Raises:
        UsageError: There is no such study, model or adapter.
        WeightsError: A model is not here, or damaged.
        ComposeError: The folder cannot be written.
    """
    study = find(job.study)
    check_writable(job.out)
    model, model_sha256 = locate_model(job.model)
    adapter, adapter_sha256 = locate_model(job.adapter)
    plan = walk.Plan(
        study=job.study,
        model=job.model,
        model_sha256=model_sha256,
        adapter=job.adapter,
        adapter_sha256=adapter_sha256,
        steps=job.steps,
        guidance=float(job.guidance),
        cfg=job.cfg,
        device=job.device.partition(":")[0],
        micro_batch=job.micro_batch,
        max_batch=job.max_batch,
        threads=job.threads,
        sources_sha256=sources.study(CnCMethod, pictures=True),
    )
    return Sitting(
        job=job, study=study, pairs=pairs(job.n), plan=plan, model=model, adapter=adapter
    )


def measure(sitting: Sitting, *, command: str, quick: bool = False) -> StudyRecord:
    """The record of a study whose pictures are there.

    Raises:
        WeightsError: The network that looks is not here.
    """
    job, plan, study = sitting.job, sitting.plan, sitting.study
    given = drawn(sitting.pairs)
    clip = Clip.load()
    series = tuple(_series(sitting, given, clip, name) for name in study.series)
    count = job.n * len(study.settings)
    taken = walk.seconds(sitting.folder, job.n, plan.micro_batch, study.settings)
    return StudyRecord(
        run_id=plan.run_id,
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        command=command,
        task=StudyTask(
            name=study.name,
            version=study.version,
            summary=study.summary,
            pairs=tuple(pair.to_json() for pair in sitting.pairs),
            pairs_sha256=digest(sitting.pairs),
            split=SPLIT,
            n=job.n,
            quick=quick,
        ),
        method=facts.method_info(CnCMethod),
        model=ModelInfo(id=job.model, sha256=plan.model_sha256, files=files_of(sitting.model)),
        adapter=ModelInfo(
            id=job.adapter, sha256=plan.adapter_sha256, files=files_of(sitting.adapter)
        ),
        walk=Walk(
            steps=job.steps,
            guidance=plan.guidance,
            cfg=job.cfg,
            seeds=tuple(pair.seed for pair in sitting.pairs),
            device=plan.device,
            micro_batch=job.micro_batch,
            max_batch=job.max_batch,
            threads=job.threads,
        ),
        series=series,
        differences=tuple(_difference(series, one) for one in study.contrasts),
        pictures=count,
        seconds_per_picture=taken / count,
        code=facts.code(plan.sources_sha256, sources.study(CnCMethod, pictures=False)),
        env=facts.environment(),
        hardware=facts.hardware(job.device),
    )


def figure(sitting: Sitting, record: StudyRecord) -> Image.Image:
    """The figure of a study whose pictures are there."""
    count = min(SHOWN, sitting.job.n)
    pictures = {one.id: walk.read(sitting.folder, one, count) for one in sitting.study.settings}
    return sitting.study.figure(record, Shown(drawn(sitting.pairs[:count]), pictures))


def write(sitting: Sitting, record: StudyRecord, image: Image.Image) -> Path:
    """Keep record and figure beside the pictures; one for each number of pairs."""
    return _write(sitting.folder / f"{record.task.name}-{record.task.n}.json", record, image)


def check_place(results: Path, sitting: Sitting, *, replace: bool) -> None:
    """Refuse to publish a study where it would spoil what stands there.

    Raises:
        UsageError: It has fewer pairs than the study asks for, or than the record that stands
            there.
    """
    job, n = sitting.job, sitting.job.n
    path = _place(results, job.study, job.model, job.adapter, job.guidance, job.cfg)
    if replace:
        return
    if n < sitting.study.n:
        raise UsageError(
            "so few pairs say too little to be published",
            got=f"n = {n}",
            expected=f"at least {sitting.study.n}",
            remedy="leave out --num, or add --replace",
        )
    if path.is_file() and (stands := load(path)).task.n > n:
        raise UsageError(
            "a record of more pairs stands there",
            got=f"{path}: n = {stands.task.n}, and now {n}",
            remedy="measure as many, or add --replace",
        )


def publish(results: Path, record: StudyRecord, image: Image.Image) -> Path:
    """Write record and figure where pages are made from."""
    how = (record.model.id, record.adapter.id, record.walk.guidance, record.walk.cfg)
    return _write(_place(results, record.task.name, *how), record, image)


def _place(results: Path, study: str, model: str, adapter: str, guidance: float, cfg: str) -> Path:
    """The file of a study; what differs from the usual is in its name."""
    parts = [] if model == "sd-tiny" else [model]
    parts += [] if adapter == ADAPTER else [adapter]
    parts += [] if guidance == 1 else [f"{cfg}-{guidance:g}"]
    plain = ("".join(c if c.isalnum() or c in "-_." else "-" for c in x) for x in parts)
    return results / "studies" / ("@".join([study, *(x.strip("-.") for x in plain)]) + ".json")


def _write(path: Path, record: StudyRecord, image: Image.Image) -> Path:
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    write_atomic(path.with_suffix(".png"), stream.getvalue())
    save(record, path)
    return path


def _series(sitting: Sitting, given: Drawn, clip: Clip, name: str) -> Series:
    """The mean over the settings of a series, for each pair."""
    n, settings = sitting.job.n, sitting.study.series[name]
    found: list[dict[str, Tensor]] = []
    for one in settings:
        pictures = walk.read(sitting.folder, one, n).float() / 255
        looks = (given.second, given.first) if one.swapped else (given.first, given.second)
        found.append(cosines(clip, pictures, given.mask, looks).metrics())
    values = {key: torch.stack([x[key] for x in found]).mean(0) for key in METRICS}
    return Series(
        id=name,
        settings=tuple({"id": one.id, **asdict(one)} for one in settings),
        metrics=tuple(_measured(clip, key, values[key]) for key in METRICS),
    )


def _measured(clip: Clip, key: str, values: Tensor) -> Measured:
    source = clip.source
    return Measured(
        id=source.metric(key),
        version=1,
        value=float(values.mean()),
        unit="",
        higher_is_better=True,
        n=len(values),
        n_reference=None,
        interval=_interval(intervals.bootstrap_mean(values)),
        params={"cosine": METRICS[key], "outside": "black"},
        extractor=Extractor(id=source.id, sha256=source.sha256, reference=source.reference),
        parts={},
        per_sample=tuple(values.tolist()),
        keys=tuple(range(len(values))),
    )


def _difference(series: tuple[Series, ...], one: Contrast) -> Difference:
    by = {x.id: torch.tensor(x.metric(one.metric).per_sample) for x in series}
    found = intervals.paired_bootstrap(by[one.a], by[one.b])
    return Difference(
        metric=one.metric,
        a=one.a,
        b=one.b,
        value=found.difference,
        interval=_interval(found.interval),
        p=found.p,
        n=found.n,
    )


def _interval(found: intervals.Interval) -> Interval | None:
    """An interval in the words of a record; None where it is infinite."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return None
    return Interval(low=found.low, high=found.high, level=found.level, how=found.how)
