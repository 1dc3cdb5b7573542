"""How good painters of labels are while they learn (Figure 6a of TLAM).

python -m compose_benchmarks.convergence tlam-tiny clam-tiny asap-naive-tiny

Each was trained before by `compose zoo train ID`, which keeps its checkpoints in `runs/ID`. The
averaged weights of each checkpoint paint the scenes of a suite, and what they painted is measured
as there.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from compose_benchmarks import facts, scorers, stored
from compose_benchmarks.gallery import Gallery
from compose_benchmarks.items import Item
from compose_benchmarks.judges import Eyes
from compose_benchmarks.measure import measured
from compose_benchmarks.record import Code, Environment, Hardware, Measured
from compose_benchmarks.registry import find
from compose_benchmarks.sources import making, scoring
from compose_core.errors import UsageError, WeightsError
from compose_core.train import export, steps
from compose_metrics.pictures import as_bytes
from compose_tlam.method import TLAMMethod
from compose_tlam.model import Painter
from compose_tlam.scene import from_scene
from compose_tlam.stack import LabelStack
from compose_zoo.recipes.painters import PLANS

__all__ = ["FILE", "Convergence", "Curve", "Moment", "load", "main", "watch"]

FILE = Path("curves") / "tlam-convergence.json"
"""Where the record is, below the results."""

_BATCH = 64
_METRICS = ("fid@tiny-v1", "kid@tiny-v1")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Moment(_Part):
    """A checkpoint: steps and seconds of training, and what was measured then."""

    step: Annotated[int, Field(ge=1)]
    seconds: Annotated[float, Field(ge=0)]
    metrics: tuple[Measured, ...]

    def metric(self, name: str) -> Measured:
        """The metric of that id."""
        return next(one for one in self.metrics if one.id == name)


class Curve(_Part):
    """One painter, by its id in the zoo."""

    id: str
    moments: Annotated[tuple[Moment, ...], Field(min_length=1)]


class Convergence(_Part):
    """All painters on the same scenes."""

    schema_version: Literal[1] = 1
    provenance: Literal["measured"] = "measured"
    command: str
    suite: str
    suite_version: int
    n: Annotated[int, Field(ge=2)]
    curves: Annotated[tuple[Curve, ...], Field(min_length=1)]
    code: Code
    env: Environment
    hardware: Hardware


def load(path: Path) -> Convergence:
    """Read a record.

    Raises:
        ComposeError: The file cannot be read or is no record.
    """
    again = "python -m compose_benchmarks.convergence"
    return stored.read(Convergence, path, what="how painters learn", version=1, again=again)


@torch.no_grad()
def paint(painter: Painter, items: Sequence[Item]) -> torch.Tensor:
    """The pictures (N, 3, H, W) uint8 of items whose layers are labels."""
    parts: list[torch.Tensor] = []
    for start in range(0, len(items), _BATCH):
        some = items[start : start + _BATCH]
        stacks = [from_scene(one.scene, painter.labels).stack for one in some]
        parts.append(as_bytes(painter(LabelStack.cat(stacks))))
    return torch.cat(parts)


def watch(model: str, runs: Path, items: Sequence[Item], suite: str, eyes: Eyes) -> Curve:
    """Measure every checkpoint of a painter.

    Raises:
        UsageError: No painter of that id is trained by a recipe.
        WeightsError: It has no checkpoints, or they belong to another network.
    """
    if model not in PLANS:
        raise UsageError("no painter of the zoo", got=model, expected=", ".join(PLANS))
    folder = runs / model / "game"
    found = steps(folder)
    if not found:
        raise WeightsError(
            "there are no checkpoints", got=folder, remedy=f"compose zoo train {model}"
        )
    moments: list[Moment] = []
    with torch.random.fork_rng(devices=[]):
        painter = Painter(PLANS[model].config())
    for step in found:
        kept = export(folder, {"painter": painter}, step=step)
        pictures = paint(painter, items)
        gallery = Gallery(suite=find(suite), items=tuple(items), pictures=pictures, eyes=eyes)
        results = {one.metric: one for one in scorers.features(gallery)}
        moments.append(
            Moment(
                step=step,
                seconds=float(kept.facts["seconds"]),
                metrics=tuple(measured(results[name]) for name in _METRICS),
            )
        )
    return Curve(id=model, moments=tuple(moments))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the record."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser("python -m compose_benchmarks.convergence")
    parser.add_argument("ids", nargs="+", metavar="ID", help=", ".join(PLANS))
    parser.add_argument("--suite", default="tlam-dense")
    parser.add_argument("--num", type=int, default=1024)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--results", type=Path, default=None)
    told = parser.parse_args(args)
    suite, eyes = find(told.suite), Eyes()
    items = suite.items(told.num)
    curves = tuple(watch(one, told.runs, items, told.suite, eyes) for one in told.ids)
    results = told.results if told.results is not None else facts.results_folder()
    record = Convergence(
        command=shlex.join(["python", "-m", "compose_benchmarks.convergence", *args]),
        suite=suite.name,
        suite_version=suite.version,
        n=told.num,
        curves=curves,
        code=facts.code(making(TLAMMethod), scoring(suite)),
        env=facts.environment(),
        hardware=facts.hardware("cpu"),
    )
    (results / FILE).parent.mkdir(parents=True, exist_ok=True)
    stored.write(record, results / FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
