"""The reference of the scene file, from its JSON schema and from what methods say they use."""

from __future__ import annotations

import json
from typing import Any

from workspace import NOTE, load, packages

INTRO = """# Scene file

A scene is a TOML or JSON file: what should be where, described once, for any method. Keys that do
not exist are errors with the nearest known key; values are never converted in silence. What a
method cannot use is named in a warning, or is an error with `--strict`.

```toml
--8<-- "examples/toys.toml"
```

Lengths on the canvas are fractions of it, x to the right and y down, so a scene scales with its
canvas. Files are looked up beside the scene and never outside its folder, unless
`--allow-outside` is given. The same description as a [JSON schema](scene-file.schema.json) serves
editors.
"""
PARTS = {"Scene": "The scene", "Layer": "`[[layers]]`", "Camera": "`[camera]`", "Proxy": "`proxy`"}
LEADS = {
    "Layer": "A layer gives at least one of `prompt`, `box`, `mask`, `depth`, `exemplar`, "
    "`segments`, `keypoints`, `proxy`. Where several of them say where it is, a mask rules; else "
    "the silhouette of its proxy, else its box, else the whole canvas.",
    "Camera": "It looks along z from above the origin; proxies are seen from it.",
    "Proxy": "A solid in metres, x to the right, y up, z away. `compose-worlds` renders mask, "
    "box, depth, normals, curvature, edges and segments from it; what the layer names itself "
    "takes the place of what would be rendered.",
}
GROUP = "compose.methods"
COMPARED = "compose-benchmarks"
WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "yes or no",
}


def pages() -> dict[str, str]:
    """The page and the schema that it links to."""
    from compose_core.scene import schema

    found = schema()
    methods, compared = _split()
    told = {name: method for name, method in methods.items() if name != "plain"}
    tables = [_section(name, _part(found, name), told) for name in PARTS]
    note = (
        "A key of a layer that a method in the last column does not understand is refused or "
        "warned of by that method, never dropped. See [Methods](methods/index.md).\n"
    )
    text = NOTE + INTRO + "\n" + "\n".join(tables) + "\n" + note
    return {
        "scene-file.md": text,
        "scene-file.schema.json": json.dumps(found, indent=2, ensure_ascii=False) + "\n",
        "fragments/capabilities.md": _capabilities(methods),
        "fragments/baselines.md": _baselines(compared),
    }


def _capabilities(methods: dict[str, Any]) -> str:
    """A table of what each method makes of each key; a fragment for a page to include."""
    keys = sorted({key for m in methods.values() for key in _accepted(m)})
    head = "| key | " + " | ".join(f"`{name}`" for name in methods) + " |"
    lines = [head, "|---|" + ":-:|" * len(methods)]
    for key in keys:
        cells = [
            "needs" if key in _needed(m) else "yes" if key in _accepted(m) else "·"
            for m in methods.values()
        ]
        lines.append(f"| `{key}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _baselines(compared: dict[str, Any]) -> str:
    """A table of the baselines; a fragment for a page to include."""
    lines = ["| baseline | in one line | reads |", "|---|---|---|"]
    for name, method in compared.items():
        keys = ", ".join(f"`{key}`" for key in sorted(_accepted(method)))
        lines.append(f"| `{name}` | {method.summary} | {keys} |")
    return "\n".join(lines) + "\n"


def _split() -> tuple[dict[str, Any], dict[str, Any]]:
    """Methods, and those of the benchmarks that are there to be compared with."""
    (home,) = (package for package in packages() if package.name == COMPARED)
    rivals = set(home.entry_points(GROUP)) - {"plain"}
    every = _methods()
    own = {name: method for name, method in every.items() if name not in rivals}
    return own, {name: method for name, method in every.items() if name in rivals}


def _methods() -> dict[str, Any]:
    """Every method of this checkout by its name."""
    points = {k: v for package in packages() for k, v in package.entry_points(GROUP).items()}
    return {name: load(reference) for name, reference in sorted(points.items())}


def _needed(method: Any) -> set[str]:
    return {key for need in method.needs for key in need.split("|")}


def _accepted(method: Any) -> set[str]:
    return set(method.accepts) | _needed(method)


def _part(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return schema if name == "Scene" else schema["$defs"][name]


def _section(name: str, part: dict[str, Any], methods: dict[str, Any]) -> str:
    lines = [f"## {PARTS[name]}\n"]
    if name in LEADS:
        lines.append(LEADS[name] + "\n")
    used = name in ("Scene", "Layer")
    lines.append("| key | is | default | meaning |" + (" used by |" if used else ""))
    lines.append("|---|---|---|---|" + ("---|" if used else ""))
    for key, value in part["properties"].items():
        needed = key in part.get("required", ())
        default = "needed" if needed else _default(value)
        meaning = value.get("description", "").replace("``", "`").replace("|", "\\|")
        cells = [f"`{key}`", kind(value), default, meaning]
        if used:
            cells.append(_users(key, methods))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _users(key: str, methods: dict[str, Any]) -> str:
    """Names of the methods that use a key; every method uses those that make a scene."""
    if key in ("version", "canvas", "seed", "layers", "name"):
        return "all"
    if key in ("proxy", "camera"):  # they are rendered to what methods take
        from compose_core.scene.capability import RENDERED

        names = [name for name, method in methods.items() if RENDERED & _accepted(method)]
    else:
        names = [name for name, method in methods.items() if key in _accepted(method)]
    return ", ".join(f"`{name}`" for name in names) or "·"


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    return "none" if default is None or default == "" else f"`{json.dumps(default)}`"


def kind(value: dict[str, Any]) -> str:
    """What a value is, in words."""
    if "anyOf" in value:
        return kind(next(part for part in value["anyOf"] if part.get("type") != "null"))
    if "$ref" in value:
        return f"table, see [below](#{value['$ref'].split('/')[-1].lower()})"
    if "const" in value:
        return f"`{value['const']}`"
    if value["type"] == "array":
        if "prefixItems" in value:
            items = value["prefixItems"]
            return f"{len(items)} {WORDS[items[0]['type']]}s{_range(items[0])}"
        return "tables, see [below](#layers)"
    return WORDS[value["type"]] + _range(value)


def _range(value: dict[str, Any]) -> str:
    if "maximum" in value and abs(value["maximum"]) < 10**6:
        if "exclusiveMinimum" in value:
            return f" above {value['exclusiveMinimum']}, up to {value['maximum']}"
        return f" from {value['minimum']} to {value['maximum']}"
    if value.get("minimum") is not None:
        return f" from {value['minimum']}"
    return ""
