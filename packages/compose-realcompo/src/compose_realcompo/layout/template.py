"""What a language model is told: the task, three examples, and the form of the answer."""

from __future__ import annotations

import json
from typing import Any

from compose_realcompo.layout.chat import Chat, conversation
from compose_realcompo.layout.model import MAX_OBJECTS

VERSION = 1
"""Of the template; answers to another one are not taken from the cache."""

_SYSTEM = f"""\
You plan pictures. Given a caption, decide where each object that it names goes, and answer with
one JSON object and nothing else:

{{"objects": [{{"phrase": "...", "box": [left, top, right, bottom], "z": 0}}]}}

Rules:
- "phrase" repeats words of the caption, letter for letter, with their adjectives.
- One entry for each single object: "two cats" gives two entries, both with the phrase "cats".
  At most {MAX_OBJECTS} entries.
- "box" holds fractions of the canvas from 0 to 1, x to the right and y down: left < right and
  top < bottom. Never pixels.
- "z" is the place in depth, 0 for most; larger is nearer to the viewer.
- Boxes do not overlap, unless one object is in front of, behind or inside another: then the
  nearer one has the larger "z".
- Obey every relation and every number of the caption; keep natural sizes and proportions.
- Leave out what is no object: sky, ground, weather, light, style."""

_EXAMPLES: tuple[tuple[str, tuple[int, int], list[dict[str, Any]]], ...] = (
    (
        "a brown dog to the right of two yellow kites on a meadow",
        (512, 512),
        [
            {"phrase": "yellow kites", "box": [0.05, 0.12, 0.27, 0.4], "z": 0},
            {"phrase": "yellow kites", "box": [0.31, 0.2, 0.53, 0.48], "z": 0},
            {"phrase": "a brown dog", "box": [0.6, 0.45, 0.94, 0.88], "z": 0},
        ],
    ),
    (
        "an oil painting of a lighthouse behind a small wooden boat at dusk",
        (768, 512),
        [
            {"phrase": "a lighthouse", "box": [0.52, 0.08, 0.72, 0.72], "z": 0},
            {"phrase": "a small wooden boat", "box": [0.22, 0.6, 0.6, 0.86], "z": 1},
        ],
    ),
    (
        "a glass vase on a round table",
        (512, 768),
        [
            {"phrase": "a glass vase", "box": [0.38, 0.14, 0.62, 0.48], "z": 0},
            {"phrase": "a round table", "box": [0.12, 0.48, 0.88, 0.94], "z": 0},
        ],
    ),
)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "objects": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "phrase": {"type": "string"},
                    "box": {"type": "array", "items": {"type": "number"}},
                    "z": {"type": "number"},
                },
                "required": ["phrase", "box", "z"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["objects"],
    "additionalProperties": False,
}
"""JSON schema of an answer; bounds are left out, as many servers do not know them."""


def question(prompt: str, canvas: tuple[int, int]) -> str:
    """A caption as it is put to the model; the canvas (width, height) says its proportions."""
    return f"Canvas: {canvas[0]} wide, {canvas[1]} high.\nCaption: {prompt}"


def opening(prompt: str, canvas: tuple[int, int]) -> Chat:
    """The messages that ask for a layout."""
    turns: list[str] = []
    for caption, size, objects in _EXAMPLES:
        turns += [question(caption, size), json.dumps({"objects": objects})]
    return conversation(_SYSTEM, [*turns, question(prompt, canvas)])


def correction(problem: str) -> str:
    """What the model is told when its answer cannot be used."""
    return f"That answer cannot be used.\n{problem}\nAnswer again with the corrected JSON alone."


def examples() -> list[tuple[str, tuple[int, int], str]]:
    """Caption, canvas and answer of each example."""
    return [(c, size, json.dumps({"objects": objects})) for c, size, objects in _EXAMPLES]
