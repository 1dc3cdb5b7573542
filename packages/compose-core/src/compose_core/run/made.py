"""Files of methods that bring models of their own: sounds, and pictures without diffusers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from compose_core.method import Maker
from compose_core.run import execute, limits
from compose_core.run.files import write_atomic
from compose_core.run.record import Settings, to_text
from compose_core.scene import Scene

__all__ = ["run_made"]


def run_made(
    scene: Scene,
    maker: Maker,
    *,
    method: str,
    model: str | None,
    seed: int,
    steps: int | None,
    guidance: float | None,
    num: int,
    device: str | None,
    max_batch: int,
    out: Path,
    name: str,
    strict: bool,
    progress: bool,
    trace: bool,
    report: Callable[[str], None],
) -> Iterator[Path]:
    """`run_scene` for a method with a `Maker`; see there."""
    least = 1.0 if guidance is None else guidance
    execute.check_settings(seed, 1 if steps is None else steps, least, num, max_batch)
    goals = execute.targets(out, name, seed, num, maker.suffix)
    execute.spare_inputs(scene, goals, trace=False)
    device = limits.check_device(device)
    for line in execute.check_method(scene, method, strict=strict):
        report(line)
    if trace:
        report(f"the method {method!r} writes no trace of this scene")
    chosen = maker.model() if model is None else model
    folder, weights = execute.locate_model(chosen)
    maker.load(folder, device)
    stems = [goal.with_suffix(f".{name}") for goal in goals for name in maker.beside()]
    execute.spare_inputs(scene, stems, trace=False)
    usual = maker.usual()
    settings = Settings(
        method=method,
        model=execute.lasting(chosen),
        seed=seed,
        steps=usual[0] if steps is None else steps,
        guidance=float(usual[1] if guidance is None else guidance),
        device=device,
        max_batch=max_batch,
    )
    first = execute.describe(scene, settings, folder, weights, tile=None)
    for shift, target in enumerate(goals):
        record = replace(first, settings=replace(settings, seed=seed + shift))
        made = _with_bar(maker, record.settings, report, progress)
        data, beside = maker.encode(made, to_text(record))
        _write(target, data, {target.with_suffix(f".{key}"): v for key, v in beside.items()})
        yield target


def _with_bar(
    maker: Maker, settings: Settings, report: Callable[[str], None], progress: bool
) -> Any:
    from tqdm import tqdm

    with tqdm(disable=not progress, leave=False) as bar:

        def tick(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return maker.make(settings, report, tick)


def _write(target: Path, data: bytes, beside: Mapping[Path, bytes]) -> None:
    """All files or none; the one that was asked for comes last."""
    written: list[Path] = []
    try:
        for path, piece in beside.items():
            write_atomic(path, piece)
            written.append(path)
        write_atomic(target, data)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
