"""What the commands of ``compose tlam`` do."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image

from compose_core.errors import SceneError, UsageError
from compose_core.run.files import check_writable, write_atomic
from compose_core.scene import load_scene
from compose_tlam.data.pictures import plane
from compose_tlam.edit import Fill, insert, remove
from compose_tlam.folder import read_folder, read_scale, write_folder
from compose_tlam.labels import PRIMITIVES
from compose_tlam.merge import Strength
from compose_tlam.pipeline import TLAMOutput, TLAMPipeline
from compose_tlam.scene import from_scene
from compose_tlam.stack import LabelStack

__all__ = ["check_out", "edited", "looks", "opened", "save", "strengths", "write_labels"]


def write_labels(scene: Path, out: Path) -> list[Path]:
    """The labels of a scene as a folder.

    Raises:
        SceneError: The scene gives none.
    """
    stack, _ = from_scene(load_scene(scene), PRIMITIVES)
    if stack.empty:
        raise SceneError(
            "the scene gives no label",
            got=str(scene),
            expected="proxies, depth or segments",
        )
    return write_folder(out, stack)


def opened(
    model: str, labels: Path, warn: Callable[[str], None] = lambda _: None
) -> tuple[TLAMPipeline, LabelStack]:
    """A pipeline, and the labels of a folder or scene under its registry; `warn` hears remarks."""
    if not labels.exists():
        raise SceneError("there are no such labels", got=str(labels), expected="a folder or scene")
    pipe = TLAMPipeline.from_pretrained(model)
    if labels.is_dir():
        return pipe, read_folder(labels, pipe.labels)
    stack, remarks = from_scene(load_scene(labels), pipe.labels)
    for line in remarks:
        if not stack.empty:  # of that the pipeline speaks
            warn(line)
    return pipe, stack


def edited(
    stack: LabelStack,
    source: Path,
    added: Path | None,
    mask: Path | None,
    fill: Fill = "around",
) -> LabelStack:
    """The labels after an edit."""
    if added is not None:
        scale = read_scale(source) if source.is_dir() else None
        return insert(stack, load_scene(added), scale)[0]
    assert mask is not None
    return remove(stack, plane(mask, ("1", "L", "I;16")) > 0, fill=fill)


def strengths(given: Sequence[str]) -> dict[str, float] | None:
    """``depth=0.5`` as numbers by name.

    Raises:
        UsageError: Something else was written.
    """
    found: dict[str, float] = {}
    for text in given:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise UsageError(
                "a strength is NAME=NUMBER", got=text, expected="for example depth=0.5"
            ) from error
    return found or None


def looks(
    pipe: TLAMPipeline, output: TLAMOutput, strength: Strength | None = None
) -> dict[str, Image.Image]:
    """The picture, the concept tensor in colours, and a map of attention for each label."""
    shown = {"picture": output.images[0], "concept": pipe.concept_picture(output)[0]}
    if pipe.painter.config.merger == "tlam":
        maps = pipe.attention(output, strength)[0]
        names = [*pipe.labels.names, "noise"]
        for name, one in zip(names, maps, strict=False):
            levels = (one / maps.max() * 255).round().to(torch.uint8)
            shown[f"attention-{name}"] = Image.fromarray(levels.cpu().numpy())
    return shown


def check_out(out: Path, inputs: Sequence[Path | None]) -> None:
    """Refuse, before any work, an output that cannot be or should not be written.

    Raises:
        UsageError: It is an input, lies in a folder of labels, or is no PNG.
        ComposeError: It cannot be written.
    """
    single = _single(out)
    folder = out.parent if single else out
    if not single and out.suffix and not out.is_dir():
        raise UsageError("pictures are written as PNG", got=str(out), expected="a folder or .png")
    for given in inputs:
        if given is None:
            continue
        if single and out.exists() and given.exists() and out.samefile(given):
            raise UsageError("the output would take the place of an input", got=str(out))
        if given.is_dir() and given.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise UsageError(
                "pictures beside labels would be taken for labels",
                got=str(out),
                remedy="choose another folder with --out",
            )
    check_writable(folder)


def _single(out: Path) -> bool:
    return out.suffix.lower() == ".png" and not out.is_dir()


def save(shown: Mapping[str, Image.Image], out: Path) -> list[Path]:
    """Write pictures into a folder, or one into a file.

    Raises:
        UsageError: Several pictures for one file.
        ComposeError: It cannot be written.
    """
    single = _single(out)
    if single and len(shown) > 1:
        raise UsageError("one file cannot hold several pictures", got=str(out))
    check_writable(out.parent if single else out)
    written: list[Path] = []
    for name, picture in shown.items():
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        path = out if single else out / f"{name}.png"
        write_atomic(path, stream.getvalue())
        written.append(path)
    return written
