"""Reading scene files: text to `Scene`, every failure as one clear message."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal, NoReturn, cast

from pydantic import BaseModel, ValidationError

from compose_core.errors import SceneError
from compose_core.images import read_bytes
from compose_core.scene import strict_json
from compose_core.scene.assets import Assets
from compose_core.scene.layer import Camera, Layer, Proxy, short
from compose_core.scene.model import Scene

Format = Literal["toml", "json"]

MAX_TEXT = 4 * 2**20
"""Largest scene file, in bytes."""

_PARTS: dict[str, type[BaseModel]] = {"camera": Camera, "layers": Layer, "proxy": Proxy}
_HINTS = {
    "version": "version = 1",
    "canvas": "canvas = [64, 64], width and height in pixels",
    "prompt": 'prompt = "toys on grass"',
    "seed": "seed = 7",
    "duration": "duration = 120.0, in seconds",
    "point": "point = [0.3, 0.6]: x to the right and y down, as fractions of the canvas",
    "box": "box = [0.1, 0.2, 0.5, 0.9]: left, top, right, bottom as fractions of the canvas",
    "position": "position = [-0.6, 0.5, 4.0]: x right, y up, z away, in metres",
    "name": 'name = "ball"',
    "layers": "[[layers]] with a name and a prompt",
    "camera": "[camera] with height, pitch and fov",
    "proxy": 'proxy = { shape = "sphere", position = [-0.6, 0.5, 4.0], size = 0.5 }',
}


def load_scene(path: str | Path, *, allow_outside: bool = False) -> Scene:
    """Read a scene file (``.toml`` or ``.json``) and every file that it names.

    Args:
        path: the scene file.
        allow_outside: also take files outside the folder of the scene.

    Raises:
        SceneError: anything in the file, or in a file that it names, cannot be used.
    """
    path = Path(path)
    formats: dict[str, Format] = {".toml": "toml", ".json": "json"}
    data = read_bytes(path, "the scene file")
    if (fmt := formats.get(path.suffix.lower())) is None:
        raise SceneError(
            "the scene file is of an unknown kind",
            got=path.name,
            expected="a name ending in .toml or .json, or a .png that compose wrote",
        )
    return parse_scene(data, fmt, path.parent, allow_outside=allow_outside)


def parse_scene(
    text: str | bytes, fmt: Format, folder: str | Path, *, allow_outside: bool = False
) -> Scene:
    """Scene from TOML or JSON text; files are looked up in ``folder``.

    Raises:
        SceneError: as `load_scene`.
    """
    scene = build(_parse(text, fmt))
    return scene.with_assets(Assets.read(scene.files, Path(folder), allow_outside=allow_outside))


def schema() -> dict[str, Any]:
    """JSON schema of the scene file."""
    found = Scene.model_json_schema()
    found["required"] = ["version", *found["required"]]  # has a default in Python only
    found["oneOf"] = [{"required": ["canvas", "layers"]}, {"required": ["duration"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def build(data: Mapping[str, Any]) -> Scene:
    """Scene from parsed data, without its files.

    Raises:
        SceneError: the data does not follow the format.
    """
    needed = () if "duration" in data else ("canvas", "layers")
    for key in ("version", "prompt", *needed):
        if key not in data and not (set(data) - set(Scene.model_fields)):
            remedy = f"write {_HINTS[key]}"
            what = "the scene has no layers" if key == "layers" else f"the scene has no `{key}`"
            raise SceneError(what, expected=_HINTS[key], remedy=remedy)
    try:
        return Scene.model_validate(data)
    except ValidationError as error:
        _explain(error, data)


def _parse(text: str | bytes, fmt: Format) -> dict[str, Any]:
    if len(text) > MAX_TEXT:
        raise SceneError(
            "the scene file is too large",
            got=f"{len(text) / 2**20:.1f} MiB",
            expected=f"at most {MAX_TEXT // 2**20} MiB",
        )
    parsers: dict[str, Callable[[str], Any]] = {"toml": tomllib.loads, "json": strict_json.parse}
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        data = parsers[fmt](decoded)
    except (ValueError, RecursionError) as error:  # both parsers and the decoder raise ValueErrors
        raise SceneError(
            f"the scene file is not valid {fmt.upper()}",
            got=error,
            remedy="correct the line that the message names",
        ) from error
    if not isinstance(data, dict):
        raise SceneError(
            "the scene file does not hold a scene",
            got=type(data).__name__,
            expected="a table with version, canvas, prompt and layers",
        )
    return cast("dict[str, Any]", data)


def _explain(error: ValidationError, data: Mapping[str, Any]) -> NoReturn:
    """Turn the most telling of pydantic's findings into one message."""
    found = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    first = found[0]
    location = tuple(first["loc"])
    key = next((part for part in reversed(location) if isinstance(part, str)), "scene")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if first["type"] == "extra_forbidden":
        _unknown_key(str(location[-1]), location, data)
    if first["type"] == "missing" and isinstance(location[-1], str):
        raise SceneError(
            f"{_owner(location, data)} has no `{key}`{more}",
            expected=_HINTS.get(key, "a value"),
            remedy=f"write {_HINTS.get(key, key + ' = ...')}",
        ) from error
    expected = str(first["msg"]).removeprefix("Input should be ")
    if first["type"] == "missing":  # an entry of a list of fixed length
        expected = "more entries"
    raise SceneError(
        f"`{key}` of {_owner(location, data)} is not usable{more}",
        got=short(first["input"]),
        expected=expected,
        remedy=f"write {_HINTS[key]}" if key in _HINTS else None,
    ) from error


def _unknown_key(key: str, location: tuple[int | str, ...], data: Mapping[str, Any]) -> NoReturn:
    part = next((_PARTS[p] for p in reversed(location[:-1]) if p in _PARTS), Scene)
    known = sorted(part.model_fields)
    nearest = max(known, key=lambda name: SequenceMatcher(None, name, key.lower()).ratio())
    homes = [name for name, other in _PARTS.items() if key in other.model_fields]
    moved = f"move it into `{homes[0]}`, where `{key}` belongs, or " if homes else ""
    raise SceneError(
        f"{_owner(location, data)} has an unknown key",
        got=short(key),
        expected=f"one of {', '.join(known)}",
        remedy=f"{moved}write `{nearest}`, the nearest known key",
    )


def _owner(location: tuple[int | str, ...], data: Mapping[str, Any]) -> str:
    """The part of the scene that a location lies in, in words."""
    if len(location) >= 2 and location[0] == "layers" and isinstance(location[1], int):
        layer = cast("list[Any]", data["layers"])[location[1]]
        name = cast("dict[str, Any]", layer).get("name") if isinstance(layer, dict) else None
        owner = f"layer {short(name)}" if isinstance(name, str) else f"layer {location[1] + 1}"
        return f"the proxy of {owner}" if "proxy" in location[2:-1] else owner
    return "the camera" if location[:1] == ("camera",) and len(location) > 1 else "the scene"
