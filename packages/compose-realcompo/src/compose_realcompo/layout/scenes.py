"""Layouts as scenes and scene files."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from compose_core.errors import ComposeError, UsageError
from compose_core.scene import Layer, Scene
from compose_realcompo.layout.model import Layout

Canvas = tuple[int, int]
"""Width and height in pixels."""


def to_scene(layout: Layout, canvas: Canvas, *, seed: int = 0) -> Scene:
    """The scene of a layout: one layer for each object.

    Args:
        layout: where everything is.
        canvas: width and height in pixels.
        seed: of the noise.

    Raises:
        SceneError: the canvas is too large.
    """
    layers = tuple(
        Layer(name=placed.name, prompt=placed.phrase, box=placed.box, z=float(placed.z))
        for placed in layout.objects
    )
    return Scene(version=1, canvas=canvas, prompt=layout.prompt, seed=seed, layers=layers)


def to_toml(scene: Scene) -> str:
    """The text of a scene file whose layers have a name, a prompt, a box and a z."""
    lines = [
        f"version = {scene.version}",
        f"canvas = [{scene.width}, {scene.height}]",
        f"prompt = {_quoted(scene.prompt)}",
        f"seed = {scene.seed}",
    ]
    for layer in scene.layers:
        box = ", ".join(repr(float(edge)) for edge in layer.box or (0, 0, 1, 1))
        lines += [
            "",
            "[[layers]]",
            f"name = {_quoted(layer.name)}",
            f"prompt = {_quoted(layer.prompt or layer.name)}",
            f"box = [{box}]",
            f"z = {layer.z!r}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML; JSON writes the same, but for one character that TOML forbids."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def check_target(path: Path, *, force: bool) -> None:
    """Refuse a target that cannot or must not be written, before any work.

    Raises:
        UsageError: the name does not end in .toml, or a file is there and ``force`` is not given.
    """
    if path.suffix.lower() != ".toml":
        raise UsageError(
            "the scene file is of an unknown kind",
            got=path.name,
            expected="a name ending in .toml",
        )
    if os.path.lexists(path) and not force:
        raise UsageError(
            "the scene file is there already",
            got=path,
            remedy="choose another name, or overwrite it with --force (force=True)",
        )


def write_scene(
    layout: Layout, path: str | Path, *, canvas: Canvas, seed: int = 0, force: bool = False
) -> Scene:
    """Write a layout as a scene file, whole or not at all; return the scene.

    Args:
        layout: where everything is.
        path: the file, its name ending in .toml; missing folders are made.
        canvas: width and height in pixels.
        seed: of the noise.
        force: whether a file that is there is overwritten.

    Raises:
        UsageError: the file is there, or its name does not end in .toml.
        ComposeError: it cannot be written.
    """
    path = Path(path)
    check_target(path, force=force)
    scene = to_scene(layout, canvas, seed=seed)
    draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("x", encoding="utf-8", newline="\n") as file:
                file.write(to_toml(scene))
                file.flush()
                os.fsync(file.fileno())
            check_target(path, force=force)  # it may have come while we wrote
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ComposeError(
            "the scene file cannot be written",
            got=f"{path}: {error.strerror or error}",
            remedy="choose another name with --out",
        ) from error
    return scene
