"""Run a scene: check everything that can be checked first, then make and write the pictures."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from PIL import Image

from compose_core import zoo
from compose_core.errors import SceneError, UsageError
from compose_core.method import find
from compose_core.run import limits
from compose_core.run.files import check_writable, write_atomic
from compose_core.run.record import Record, Settings, circumstances, to_png
from compose_core.scene import Scene, check
from compose_core.scene.model import MAX_SEED
from compose_core.zoo.digest import remembered_digest

METHOD, MODEL, STEPS, GUIDANCE = "regional", "sd-tiny", 30, 5.0
MAX_STEPS, MAX_NUM = 10_000, 10_000

_COUNTED = {".safetensors", ".json", ".txt", ".model"}
"""Kinds of files of a model that decide what it computes."""

Load = Callable[[Path, str], Any]
"""Model folder and device to a loaded pipeline."""


def run_scene(
    scene: Scene,
    *,
    method: str = METHOD,
    model: str = MODEL,
    seed: int | None = None,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    num: int = 1,
    device: str | None = None,
    out: str | Path = ".",
    name: str = "picture",
    trace: bool = False,
    strict: bool = False,
    progress: bool = False,
    warn: Callable[[str], None] | None = None,
    load: Load | None = None,
) -> Iterator[Path]:
    """Make ``num`` pictures of a scene and yield the path of each as soon as it is written.

    Picture i has the seed ``seed + i`` and is computed alone, so it does not depend on ``num``.
    Each PNG carries a `Record`, from which it can be made again.

    Args:
        scene: what to make.
        method: name of the method, see ``compose methods``.
        model: id of a model in the zoo, or a folder.
        seed: of the first picture; None takes the seed of the scene.
        steps: number of sampler steps.
        guidance: scale of classifier-free guidance; 1 means none.
        num: how many pictures.
        device: cpu, cuda, cuda:1, mps; None takes a GPU if there is one.
        out: folder for ``name.png``, or, for one picture, a path ending in ``.png``. Several
            pictures are called ``name-SEED.png``.
        name: stem of the file names.
        trace: also write ``name.trace.safetensors`` and ``name.trace.png``.
        strict: raise where a warning would be given.
        progress: show a progress bar.
        warn: receives each warning as one line of text.
        load: how to get a pipeline from a folder; by default `ComposePipeline.from_pretrained`.

    Raises:
        UsageError: a setting makes no sense, or the method is unknown.
        SceneError: the scene does not fit the method, the model or the memory.
        WeightsError: the model is missing or damaged.
        ComposeError: a result cannot be written.
    """
    seed = scene.seed if seed is None else seed
    _check_settings(seed, steps, guidance, num)
    places = targets(Path(out), name, seed, num)
    device = limits.check_device(device)
    report = _reporter(warn, strict)
    for line in check_method(scene, method, strict=strict):
        report(line)
    folder, weights = locate_model(model)
    _check_canvas(scene, folder, device)
    pipeline = (load or load_pipeline)(folder, device)
    pipeline.set_progress_bar_config(disable=not progress, leave=False)
    for shift, target in enumerate(places):
        settings = Settings(
            method=method,
            model=model,
            seed=seed + shift,
            steps=steps,
            guidance=float(guidance),
            device=device,
        )
        record = describe(scene, settings, weights)
        picture, log = _compute(pipeline, scene, settings, trace, report)
        write_atomic(target, to_png(picture, record))
        if log is not None:
            _write_trace(log, target)
        yield target


def describe(scene: Scene, settings: Settings, weights: str) -> Record:
    """The record of a run here and now."""
    import torch

    return Record(
        scene=scene,
        settings=settings,
        weights=weights,
        versions=circumstances(),
        threads=torch.get_num_threads(),
    )


def remake(
    record: Record,
    source: Path,
    *,
    warn: Callable[[str], None] | None = None,
    strict: bool = False,
    num: int = 1,
    out: str | Path = ".",
    name: str = "picture",
    **changes: Any,
) -> Iterator[tuple[Path, bool | None]]:
    """Make the picture ``source`` again from its record; see `run_scene` for the arguments.

    The source itself is never written over: the result is called ``name-again.png`` where it
    would be.

    Yields:
        The path of each picture, and whether its file has the same bytes as the source; None where
        ``changes`` or ``num`` ask for something else than the same picture.
    """
    settings = asdict(record.settings)
    chosen = {key: value for key, value in changes.items() if key in settings}
    same = num == 1 and all(settings[key] == value for key, value in chosen.items())
    original = source.read_bytes()
    target = targets(Path(out), name, record.settings.seed, 1)[0]
    if target.resolve() == source.resolve():
        name = f"{name}-again"
        out = target.with_name(f"{name}.png") if Path(out).suffix.lower() == ".png" else out
    report = _reporter(warn, strict)
    _, weights = locate_model(str(chosen.get("model", record.settings.model)))
    for line in record.changes(describe(record.scene, record.settings, weights)) if same else ():
        report(f"the picture may come out differently: {line}")
    arguments: dict[str, Any] = {**settings, **changes, "strict": strict, "warn": warn}
    for path in run_scene(record.scene, num=num, out=out, name=name, **arguments):
        yield path, path.read_bytes() == original if same else None


def check_method(scene: Scene, name: str, *, strict: bool = False) -> list[str]:
    """Warnings about what the method ``name`` will not use of a scene.

    Raises:
        UsageError: there is no such method.
        SceneError: the scene lacks what the method needs; or warnings, if ``strict``.
    """
    kind = find(name)
    return check(scene, kind.accepts, kind.needs, name, strict=strict)


def locate_model(model: str) -> tuple[Path, str]:
    """Folder of a model, verified, and the sha256 over its files."""
    folder = zoo.resolve(model)
    return folder, hash_folder(folder)


def hash_folder(folder: Path) -> str:
    """sha256 over the names and sha256 of the weights, settings and vocabularies in a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _COUNTED and path.is_file():
            line = f"{path.relative_to(folder).as_posix()} {remembered_digest(path)}\n"
            total.update(line.encode())
    return total.hexdigest()


def load_pipeline(folder: Path, device: str) -> Any:
    """The facade over a model folder, on a device."""
    from compose_core.pipeline import ComposePipeline

    return cast(Any, ComposePipeline.from_pretrained(folder)).to(device)


def targets(out: Path, name: str, seed: int, num: int) -> list[Path]:
    """Where the pictures go.

    Raises:
        UsageError: several pictures, but the name of one file.
        ComposeError: the folder cannot be written.
    """
    single = out.suffix.lower() == ".png" and not out.is_dir()
    if single and num > 1:
        raise UsageError("one file cannot hold several pictures", got=f"{out} and {num} pictures")
    folder = out.parent if single else out
    check_writable(folder)
    if single:
        return [out]
    stems = [name] if num == 1 else [f"{name}-{seed + i}" for i in range(num)]
    return [folder / f"{stem}.png" for stem in stems]


def _compute(
    pipeline: Any, scene: Scene, settings: Settings, trace: bool, report: Callable[[str], None]
) -> tuple[Image.Image, Any]:
    import torch

    # On the CPU everywhere: the same seed starts from the same noise on any device.
    generator = torch.Generator("cpu").manual_seed(settings.seed)
    result = pipeline(
        scene,
        method=settings.method,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        generator=[generator],
        num_images_per_prompt=1,
        output_type="pil",
        trace=trace,
        warn=report,
    )
    return result.images[0], result.trace


def _write_trace(log: Any, target: Path) -> None:
    log.save(target.with_suffix(".trace.safetensors"))
    stream = io.BytesIO()
    log.picture().save(stream, "PNG")
    write_atomic(target.with_suffix(".trace.png"), stream.getvalue())


def _check_canvas(scene: Scene, folder: Path, device: str) -> None:
    blocks = limits.read_blocks(folder)
    limits.check_factor(scene.canvas, 2 ** (len(blocks) - 1))
    limits.check_memory(scene.canvas, blocks[0], limits.available_bytes(device))


def _reporter(warn: Callable[[str], None] | None, strict: bool) -> Callable[[str], None]:
    """Pass on each warning once; an error if ``strict``."""
    told: set[str] = set()

    def report(line: str) -> None:
        if strict:
            raise SceneError(line, remedy="run without --strict to go on")
        if warn is not None and line not in told:
            warn(line)
        told.add(line)

    return report


def _check_settings(seed: int, steps: int, guidance: float, num: int) -> None:
    if not 0 <= seed <= MAX_SEED - MAX_NUM:
        raise UsageError("the seed makes no sense", got=seed, expected="0 to 2**63")
    if not 1 <= steps <= MAX_STEPS:
        raise UsageError("the number of steps makes no sense", got=steps, expected="1 to 10000")
    if not 1 <= num <= MAX_NUM:
        raise UsageError("the number of pictures makes no sense", got=num, expected="1 to 10000")
    if not 0 <= guidance <= 1000:  # also refuses NaN
        raise UsageError("the guidance makes no sense", got=guidance, expected="0 to 1000")
