"""Layouts from prompts without a model."""

from __future__ import annotations

import random

from compose_core.errors import UsageError
from compose_realcompo.layout import boxes, grid
from compose_realcompo.layout.model import Layout, Placed, distinct, rounded
from compose_realcompo.layout.reading import read

MAX_PROMPT = 10_000
"""Longest prompt that is read, in characters: that of a scene."""


def check_prompt(prompt: str) -> None:
    """Refuse prompts that no scene could have.

    Raises:
        UsageError: the prompt is blank, too long or not text.
    """
    if not prompt.strip() or len(prompt) > MAX_PROMPT:
        raise UsageError(
            "the prompt is empty" if not prompt.strip() else "the prompt is too long",
            got=f"{len(prompt)} characters",
            expected=f"a few words, at most {MAX_PROMPT} characters",
        )
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("the prompt is not text", got=error) from error


def plan_offline(prompt: str, *, seed: int = 0) -> Layout:
    """Read a prompt by a small grammar and give each thing that it names a box.

    Known are numbers ("three red balls"), relations ("to the left of", "on", "behind",
    "between", ...), sides of the picture ("in the top left corner") and surroundings ("on
    grass"), which get no box. Any other word is taken for a noun or an adjective. Boxes do not
    overlap, unless one thing is in, in front of or behind another.

    Args:
        prompt: the whole picture in words.
        seed: of small differences in size and place; the same gives the same layout.

    Raises:
        UsageError: the prompt names no object or too many, or it contradicts itself.
    """
    check_prompt(prompt)
    reading = read(prompt)
    if not reading.things:
        raise UsageError(
            "the prompt names no object that could be placed",
            got=repr(prompt if len(prompt) <= 200 else f"{prompt[:197]}..."),
            expected='objects, for example "a red ball to the left of a blue cube"',
            remedy="name what should be seen, or write the boxes into a scene file yourself",
        )
    spots = boxes.place(grid.build(reading), reading, random.Random(seed))
    names = distinct([reading.things[spot.thing].name for spot in spots])
    return Layout(
        prompt,
        tuple(
            Placed(
                reading.things[spot.thing].phrase,
                name,
                rounded(spot.box),
                spot.z,
            )
            for name, spot in zip(names, spots, strict=True)
        ),
    )
