"""Run a scene: check everything that can be checked first, then make and write the pictures."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from PIL import Image

from compose_core import zoo
from compose_core.errors import SceneError, UsageError
from compose_core.method import find
from compose_core.run import limits
from compose_core.run.files import check_writable, write_atomic
from compose_core.run.record import (
    MAX_BATCH,
    Record,
    Settings,
    circumstances,
    content,
    is_beside,
    to_png,
)
from compose_core.scene import Scene, check
from compose_core.scene.model import MAX_SEED
from compose_core.zoo.digest import hash_folder

METHOD, MODEL, STEPS, GUIDANCE = "regional", "sd-tiny", 30, 5.0
MAX_STEPS, MAX_NUM = 10_000, 10_000

"""Kinds of files of a model that decide what it computes."""

Load = Callable[[Path, str], Any]
"""Model folder and device to a loaded pipeline."""


def run_scene(
    scene: Scene,
    *,
    method: str = METHOD,
    model: str | None = None,
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    num: int = 1,
    device: str | None = None,
    max_batch: int = MAX_BATCH,
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
    Each PNG carries a `Record`, from which it can be made again. Pictures that a method makes
    beside it (the layers of a composition) are written as ``name.LAYER.png``.

    Args:
        scene: what to make.
        method: name of the method, see ``compose methods``.
        model: id of a model in the zoo, or a folder; None takes `MODEL`, or what the method says.
        seed: of the first picture; None takes the seed of the scene.
        steps: number of sampler steps; None takes `STEPS`, or what the method says.
        guidance: scale of classifier-free guidance; 1 means none; None likewise.
        num: how many pictures.
        device: cpu, cuda, cuda:1, mps; None takes a GPU if there is one.
        max_batch: the most rows of one network call; lower it when memory runs out.
        out: folder for ``name.png``, or, for one picture, a path ending in ``.png``. Several
            pictures are called ``name-SEED.png``.
        name: stem of the file names.
        trace: also write ``name.trace.safetensors`` and ``name.trace.png``.
        strict: raise where a warning would be given.
        progress: show a progress bar.
        warn: receives each warning as one line of text.
        load: how to get a pipeline from a folder; by default `ComposePipeline.from_pretrained`.

    Raises:
        UsageError: a setting makes no sense, the method is unknown, or a picture would take the
            place of a file that its own scene names.
        SceneError: the scene does not fit the method, the model or the memory.
        WeightsError: the model is missing or damaged.
        ComposeError: a result cannot be written.
    """
    seed = scene.seed if seed is None else seed
    maker = find(method).maker(scene)
    if maker is not None:
        from compose_core.run.made import run_made  # which builds on this module

        yield from run_made(
            scene,
            maker,
            method=method,
            model=model,
            seed=seed,
            steps=steps,
            guidance=guidance,
            num=num,
            device=device,
            max_batch=max_batch,
            out=Path(out),
            name=name,
            strict=strict,
            progress=progress,
            trace=trace,
            report=reporter(warn, strict),
        )
        return
    if scene.duration is not None:
        raise SceneError(
            f"the method {method!r} makes pictures, and the scene is a sound",
            got=f"duration = {scene.duration}",
            remedy="choose a method that makes sound, such as --method dde",
        )
    model = MODEL if model is None else model
    steps = STEPS if steps is None else steps
    guidance = GUIDANCE if guidance is None else guidance
    check_settings(seed, steps, guidance, num, max_batch)
    goals = targets(Path(out), name, seed, num)
    spare_inputs(scene, goals, trace)
    device = limits.check_device(device)
    report = reporter(warn, strict)
    for line in check_method(scene, method, strict=strict):
        report(line)
    folder, weights = locate_model(model)
    settings = Settings(
        method=method,
        model=lasting(model),
        seed=seed,
        steps=steps,
        guidance=float(guidance),
        device=device,
        max_batch=max_batch,
    )
    limits.check(scene.canvas, len(scene.layers), folder, device, max_batch)
    first = describe(scene, settings, folder, weights)
    pipeline = (load or load_pipeline)(folder, device)
    pipeline.set_progress_bar_config(disable=not progress, leave=False)
    for shift, target in enumerate(goals):
        record = replace(first, settings=replace(settings, seed=seed + shift))
        picture, beside, log = _compute(pipeline, record, trace, report)
        places = _beside(target, list(beside))
        spare_inputs(scene, list(places.values()), trace=False)
        pieces = {place: to_png(beside[name], record, name) for name, place in places.items()}
        _write(target, to_png(picture, record), log, pieces)
        yield target


_UNKNOWN = -1


def describe(
    scene: Scene, settings: Settings, folder: Path, weights: str, tile: int | None = _UNKNOWN
) -> Record:
    """The record of a run here and now; ``tile`` is found from the folder unless it is given."""
    import torch

    return Record(
        scene=scene,
        settings=settings,
        weights=weights,
        versions=circumstances(settings.method),
        threads=torch.get_num_threads(),
        tile=limits.tile(scene.canvas, folder) if tile == _UNKNOWN else tile,
        adapters={lasting(x): locate_model(x)[1] for x in find(settings.method)().adapters},
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
    if "model" in chosen:
        chosen["model"] = lasting(chosen["model"])
    same = num == 1 and all(settings[key] == value for key, value in chosen.items())
    same = same and not is_beside(source)  # it comes again with its picture, but is not it
    original = source.read_bytes()
    suffix = source.suffix.lower()
    target = targets(Path(out), name, record.settings.seed, 1, suffix)[0]
    if target.resolve() == source.resolve():
        name = f"{name}-again"
        out = target.with_name(f"{name}{suffix}") if Path(out).suffix.lower() == suffix else out
    report = reporter(warn, strict)
    if same:
        made = find(record.settings.method).maker(record.scene) is not None
        where = locate_model(record.settings.model)
        tile = None if made else _UNKNOWN
        now = describe(record.scene, record.settings, *where, tile=tile)
        for line in record.changes(now):
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
    return check(scene, kind.accepted(scene), kind.needs, name, strict=strict)


def locate_model(model: str | os.PathLike[str]) -> tuple[Path, str]:
    """Folder of a model, verified, and the sha256 over its files, those of its base included."""
    folder = zoo.resolve(model)
    base = zoo.base_folder(folder)
    if base == folder:
        return folder, hash_folder(folder)
    both = f"{hash_folder(base)}\n{hash_folder(folder)}\n"
    return folder, hashlib.sha256(both.encode()).hexdigest()


def lasting(model: str | os.PathLike[str]) -> str:
    """The same model from any working directory: ids stay, paths of folders become absolute."""
    if isinstance(model, str) and model in zoo.known():
        return model
    return str(Path(model).absolute())


def load_pipeline(folder: Path, device: str) -> Any:
    """The facade over a model folder, on a device."""
    from compose_core.pipeline import ComposePipeline

    return cast(Any, ComposePipeline.from_pretrained(folder)).to(device)


def targets(out: Path, name: str, seed: int, num: int, suffix: str = ".png") -> list[Path]:
    """Where the pictures go.

    Raises:
        UsageError: several pictures, but the name of one file.
        ComposeError: the folder cannot be written.
    """
    single = out.suffix.lower() == suffix and not out.is_dir()
    if single and num > 1:
        raise UsageError("one file cannot hold several pictures", got=f"{out} and {num} pictures")
    folder = out.parent if single else out
    check_writable(folder)
    if single:
        return [out]
    stems = [name] if num == 1 else [f"{name}-{seed + i}" for i in range(num)]
    return [folder / f"{stem}{suffix}" for stem in stems]


def _compute(
    pipeline: Any, record: Record, trace: bool, report: Callable[[str], None]
) -> tuple[Image.Image, dict[str, Image.Image], Any]:
    import torch

    from compose_core.evaluate import Local
    from compose_core.trace import Trace

    settings = record.settings
    # On the CPU everywhere: the same seed starts from the same noise on any device.
    generator = torch.Generator("cpu").manual_seed(settings.seed)
    result = pipeline(
        record.scene,
        method=settings.method,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        generator=[generator],
        num_images_per_prompt=1,
        evaluator=Local(settings.max_batch),
        output_type="pil",
        trace=Trace(content(record)) if trace else False,
        warn=report,
    )
    found = cast("dict[str, list[Image.Image]]", result.beside or {})
    beside = {name: pictures[0] for name, pictures in found.items()}
    return result.images[0], beside, result.trace


def _write(target: Path, picture: bytes, log: Any, beside: Mapping[Path, bytes]) -> None:
    """Write the picture, and before it what stands beside it: all of them or none."""
    written: list[Path] = []
    try:
        for path, piece in beside.items():
            write_atomic(path, piece)
            written.append(path)
        if log is not None:
            stream = io.BytesIO()
            log.picture().save(stream, "PNG")
            drawing, tensors = _trace_paths(target)
            write_atomic(drawing, stream.getvalue())
            written.append(drawing)
            written.append(log.save(tensors))
        write_atomic(target, picture)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _trace_paths(target: Path) -> tuple[Path, Path]:
    return target.with_suffix(".trace.png"), target.with_suffix(".trace.safetensors")


def _beside(target: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files of the pictures beside another, one each.

    A name of a layer may hold anything: what no file name should hold becomes a dash, and names
    that then are the same, or that of the drawing of a trace, are counted.
    """
    taken = {"trace"}
    places: dict[str, Path] = {}
    for name in names:
        plain = re.sub(r"[^\w-]+", "-", name).strip("-") or "layer"
        free, number = plain, 1
        while free.lower() in taken:  # some file systems take a letter and its capital for one
            number += 1
            free = f"{plain}-{number}"
        taken.add(free.lower())
        places[name] = target.with_suffix(f".{free}.png")
    return places


def spare_inputs(scene: Scene, places: Sequence[Path], trace: bool) -> None:
    """Never write over what the scene was made from; files are known by their bytes."""
    inputs = set(scene.assets.values())
    sizes = {len(data) for data in inputs}
    drawings = [_trace_paths(place)[0] for place in places] if trace else []
    for place in (*places, *drawings) if inputs else ():
        if place.is_file() and place.stat().st_size in sizes and place.read_bytes() in inputs:
            raise UsageError(
                "the picture would take the place of a file of its own scene",
                got=place,
                remedy="choose another folder or name with --out, or rename that file",
            )


def reporter(warn: Callable[[str], None] | None, strict: bool) -> Callable[[str], None]:
    """Pass on each warning once; an error if ``strict``."""
    told: set[str] = set()

    def report(line: str) -> None:
        if strict:
            raise SceneError(line, remedy="run without --strict to go on")
        if warn is not None and line not in told:
            warn(line)
        told.add(line)

    return report


def check_settings(seed: int, steps: int, guidance: float, num: int, max_batch: int) -> None:
    """Refuse settings that make no sense."""
    if not 1 <= steps <= MAX_STEPS:
        raise UsageError("the number of steps makes no sense", got=steps, expected="1 to 10000")
    if not 1 <= num <= MAX_NUM:
        raise UsageError("the number of pictures makes no sense", got=num, expected="1 to 10000")
    last = MAX_SEED - (num - 1)
    if not 0 <= seed <= last:
        raise UsageError("the seed makes no sense", got=seed, expected=f"0 to {last}")
    if max_batch < 1:
        raise UsageError("the largest batch makes no sense", got=max_batch, expected="1 or more")
    if not 0 <= guidance <= 1000:  # also refuses NaN
        raise UsageError("the guidance makes no sense", got=guidance, expected="0 to 1000")
