"""What a language model said, as a layout: read strictly, mended where the meaning is certain."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Literal, cast

from compose_core.errors import SceneError
from compose_core.scene import strict_json
from compose_realcompo.layout.chat import UnusableReply
from compose_realcompo.layout.counts import check_counts
from compose_realcompo.layout.model import (
    MAX_OBJECTS,
    Box,
    Layout,
    Placed,
    area,
    distinct,
    rounded,
    shared,
)
from compose_realcompo.layout.words import singular, split

Absent = Literal["refuse", "append"]
"""What to do with a phrase that the prompt does not have."""

MAX_TEXT = 200_000
"""Longest answer that is searched for a layout, in characters."""

_SLIGHT = 0.1  # a box that is farther outside than this share of the canvas is refused
_PIXELS = 2.0  # a box that is said in fractions has no edge beyond
_SMALLEST = 0.005  # side of a box
_OVERLAP = 0.3  # of the smaller of two boxes, neither of which is in front

_BEGUN = re.compile(r'[\[{]\s*["\[{]')  # JSON, rather than brackets in prose
_FENCED = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)


def parse_reply(
    text: str, prompt: str, canvas: tuple[int, int], *, absent: Absent = "refuse"
) -> Layout:
    """The layout in an answer.

    JSON alone, in a fenced block or among prose is found. Boxes slightly outside the canvas are
    clamped, pixels divided. Phrases are looked for without regard to case, article and number.

    Args:
        text: what the model said.
        prompt: the caption that it was given.
        canvas: width and height in pixels.
        absent: whether a phrase that the prompt does not have is refused, or appended to it.

    Raises:
        UnusableReply: there is no layout in the answer, or it does not fit the prompt.
    """
    entries = _entries(_found(text))
    phrases = [_phrase(entry, number) for number, entry in enumerate(entries, 1)]
    boxes = _boxes([_corners(entry, number) for number, entry in enumerate(entries, 1)], canvas)
    depths = [_depth(entry, number) for number, entry in enumerate(entries, 1)]
    extended, literal = _occurrences(phrases, prompt, absent)
    check_counts(literal, prompt)
    _check_overlap(phrases, boxes, depths)
    names = distinct([_name(phrase) for phrase in literal])
    try:
        rows = zip(literal, names, boxes, depths, strict=True)
        return Layout(extended, tuple(Placed(*row) for row in rows))
    except SceneError as error:
        raise UnusableReply(error.what, got=error.got, expected=error.expected) from error


def _found(text: str) -> Any:
    """The one JSON value that could be a layout."""
    if len(text) > MAX_TEXT:
        raise UnusableReply("the answer is too long", got=f"{len(text)} characters")
    problem = "no JSON"
    for candidate in _candidates(text):
        try:
            value = strict_json.parse(candidate)
        except (ValueError, RecursionError) as error:
            problem = str(error)
            continue
        if isinstance(value, dict) or (isinstance(value, list) and not _plain(value)):
            return cast("Any", value)
    raise UnusableReply(
        "the answer holds no complete JSON",
        got=f"{problem}: {text.strip()[:200]!r}",
        expected='{"objects": [{"phrase": "...", "box": [0.1, 0.2, 0.5, 0.9], "z": 0}]}',
    )


def _plain(value: list[Any]) -> bool:
    """Whether a list is one of numbers or words, as in "[1]", and no list of objects."""
    return bool(value) and not any(isinstance(entry, dict) for entry in value)


def _candidates(text: str) -> Iterator[str]:
    """The whole text, fenced blocks, then whatever begins as JSON does and also ends."""
    yield text.strip()
    yield from (found.group(1) for found in _FENCED.finditer(text))
    decoder, at = json.JSONDecoder(), 0
    for _ in range(100):  # prose has few brackets
        starts = [place for place in (text.find("{", at), text.find("[", at)) if place >= 0]
        if not starts:
            return
        start = min(starts)
        try:
            _, at = decoder.raw_decode(text, start)
            yield text[start:at]
        except (ValueError, RecursionError):
            if _BEGUN.match(text, start):
                return  # cut short: what it holds inside would pass for the whole
            at = start + 1


def _entries(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict) and "objects" not in value and {"phrase", "box"} <= set(value):
        value = [value]  # a single object
    entries = value.get("objects") if isinstance(value, dict) else value
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise UnusableReply(
            'the answer has no list "objects" of JSON objects',
            got=repr(value)[:200],
            expected='{"objects": [{"phrase": "...", "box": [0.1, 0.2, 0.5, 0.9], "z": 0}]}',
        )
    if not 1 <= len(entries) <= MAX_OBJECTS:
        raise UnusableReply(
            "the answer names no object" if not entries else "the answer names too many objects",
            got=f"{len(entries)} objects",
            expected=f"1 to {MAX_OBJECTS}",
        )
    return cast("list[dict[str, Any]]", entries)


def _phrase(entry: dict[str, Any], number: int) -> str:
    phrase = entry.get("phrase")
    if not isinstance(phrase, str) or not phrase.strip() or len(phrase) > 1000:
        raise UnusableReply(
            f"object {number} has no phrase", got=repr(phrase)[:100], expected="a few words"
        )
    return " ".join(phrase.split())


def _numbers(value: Any) -> list[float]:
    """A list of finite numbers, empty when it is something else."""
    if not isinstance(value, list):
        return []
    good = [v for v in value if isinstance(v, int | float) and not isinstance(v, bool)]
    try:
        found = [float(v) for v in good]
    except OverflowError:
        return []
    return found if len(good) == len(value) and all(map(math.isfinite, found)) else []


def _corners(entry: dict[str, Any], number: int) -> list[float]:
    box = _numbers(entry.get("box"))
    if len(box) != 4:
        raise UnusableReply(
            f"the box of object {number} is not a list of four numbers",
            got=repr(entry.get("box"))[:100],
            expected="[left, top, right, bottom] as fractions of the canvas",
        )
    return box


def _depth(entry: dict[str, Any], number: int) -> float:
    z = _numbers([entry.get("z", 0)])
    if not z or abs(z[0]) > 1000:
        raise UnusableReply(
            f"the z of object {number} is no sensible number",
            got=repr(entry.get("z"))[:100],
            expected="a number, 0 for most; larger is nearer",
        )
    return z[0]


def _boxes(corners: list[list[float]], canvas: tuple[int, int]) -> list[Box]:
    """Fractions of the canvas; all are pixels when all reach farther than fractions can."""
    if all(max(box) > _PIXELS for box in corners):
        width, height = canvas
        corners = [[a / width, b / height, c / width, d / height] for a, b, c, d in corners]
    return [_clamped(box, number) for number, box in enumerate(corners, 1)]


def _clamped(box: list[float], number: int) -> Box:
    inside = [min(1.0, max(0.0, edge)) for edge in box]
    x0, y0, x1, y1 = rounded((inside[0], inside[1], inside[2], inside[3]))
    outside = any(abs(a - b) > _SLIGHT for a, b in zip(box, inside, strict=True))
    if outside or x1 - x0 < _SMALLEST or y1 - y0 < _SMALLEST:
        raise UnusableReply(
            f"the box of object {number} {'leaves the canvas' if outside else 'is empty'}",
            got=[round(edge, 4) for edge in box],
            expected="[left, top, right, bottom] with 0 <= left < right <= 1 and "
            "0 <= top < bottom <= 1",
        )
    return x0, y0, x1, y1


def _occurrences(phrases: list[str], prompt: str, absent: Absent) -> tuple[str, list[str]]:
    """The prompt, maybe longer, and the phrases as they stand in it."""
    result: list[str] = []
    for number, phrase in enumerate(phrases, 1):
        found = _occurrence(phrase, prompt)
        if found is None:
            if absent == "refuse":
                raise UnusableReply(
                    f"the phrase of object {number} does not occur in the caption",
                    got=repr(phrase)[:200],
                    expected=f"words of the caption: {prompt}",
                )
            prompt, found = f"{prompt.rstrip(' .,;')}, {phrase}", phrase
        result.append(found)
    return prompt, result


def _occurrence(phrase: str, prompt: str) -> str | None:
    """Words of the prompt that a phrase means, None when there are none."""
    wanted = [word.text for word in split(phrase) if not word.punctuation]
    bare = wanted[1:] if len(wanted) > 1 and wanted[0] in ("a", "an", "the", "one") else wanted
    words = [word for word in split(prompt) if not word.punctuation]
    for need, same in ((wanted, str), (bare, str), (bare, singular)):
        sought = [same(word) for word in need]
        for start in range(len(words) - len(sought) + 1 if sought else 0):
            here = words[start : start + len(sought)]
            if [same(word.text) for word in here] == sought:
                return prompt[here[0].start : here[-1].end]
    return None


def _name(phrase: str) -> str:
    """The phrase in lower case without its article."""
    words = " ".join(phrase.lower().split())
    return re.sub(r"^(an?|the) (?=.)", "", words)


def _check_overlap(phrases: list[str], boxes: list[Box], depths: list[float]) -> None:
    for i, a in enumerate(boxes):
        for j, b in enumerate(boxes[:i]):
            share = shared(a, b) / min(area(a), area(b))
            if depths[i] == depths[j] and share > _OVERLAP:
                raise UnusableReply(
                    f"the boxes of objects {j + 1} ({phrases[j]!r}) and {i + 1} ({phrases[i]!r}) "
                    "overlap, but neither is in front",
                    got=f"{share:.0%} of the smaller one is covered",
                    expected="boxes apart, or a larger z for the nearer object",
                )
