"""What can be said of a scene, said in several phrasings, with the claims a judge can check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from compose_worlds.primitives.environments import ENVIRONMENTS
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS

SIZES = ("", "small", "large")
NUMBERS = ("no", "a", "two", "three", "four")

RELATIONS: dict[str, tuple[str, ...]] = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "behind": ("behind",),
    "in front of": ("in front of",),
    "on": ("on", "on top of"),
}
"""Names of the relations and how captions word them."""

SIDES: dict[str, str] = {"left": "on the left", "right": "on the right"}
"""Halves of the picture and how captions word them."""

_PLACES: dict[str, tuple[str, ...]] = {
    "grass": ("on grass", "on the grass"),
    "sand": ("on sand", "in the desert"),
    "snow": ("on snow", "in the snow"),
    "room": ("in a room", "on a wooden floor"),
    "dusk": ("at dusk", "in the evening"),
}
_OPENINGS = ("", "", "", "a picture of ", "there is ")


@dataclass(frozen=True)
class Claim:
    """One object (or several equal ones) that a caption speaks of."""

    shape: str
    color: str
    count: int = 1
    size: str = ""

    def words(self) -> str:
        """The claim as a noun phrase: "a small red cube", "two blue cones"."""
        plural = "s" if self.count > 1 and self.shape != "torus" else ""
        plural = "es" if self.count > 1 and self.shape == "torus" else plural
        noun = " ".join(w for w in (self.size, self.color, self.shape + plural) if w)
        number = NUMBERS[self.count]
        return f"{'an' if number == 'a' and noun[0] in 'aeiou' else number} {noun}"


@dataclass(frozen=True)
class Relation:
    """Claim number `subject` stands in a relation of `RELATIONS` to claim number `other`."""

    subject: int
    name: str
    other: int


@dataclass(frozen=True)
class Caption:
    """A sentence and exactly what it claims.

    Attributes:
        text: the sentence.
        claims: the objects, each with its colour, shape and number.
        relations: how they stand to each other.
        environment: the place named, "" when none is.
        complete: whether nothing else is in the picture.
        sides: per claim the half of the picture it is said to be in, "" when none is; nothing
            when the caption speaks of no side.
    """

    text: str
    claims: tuple[Claim, ...]
    relations: tuple[Relation, ...]
    environment: str
    complete: bool = True
    sides: tuple[str, ...] = ()


def _pick(options: Sequence[str], generator: torch.Generator) -> str:
    return options[int(torch.randint(len(options), (), generator=generator))]


def phrase(
    claims: Sequence[Claim],
    relation: Relation | None,
    environment: str,
    generator: torch.Generator | None = None,
    *,
    complete: bool = True,
) -> Caption:
    """Word the claims: plainly without a generator, in a drawn phrasing with one.

    Without a relation the claims follow one another in the order given; a relation joins its
    two claims, which come first.
    """
    words = [c.words() for c in claims]
    relations: tuple[Relation, ...] = ()
    if relation is not None:
        names = RELATIONS[relation.name]
        joint = names[0] if generator is None else _pick(names, generator)
        pair = f"{words[relation.subject]} {joint} {words[relation.other]}"
        rest = [w for i, w in enumerate(words) if i not in (relation.subject, relation.other)]
        body = " and ".join([pair, *rest])
        relations = (relation,)
    else:
        body = ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
    opening, place = _surroundings(environment, generator)
    text = f"{opening}{body} {place}".strip()
    return Caption(text, tuple(claims), relations, environment, complete)


def sided(
    claims: Sequence[Claim],
    sides: Sequence[str],
    environment: str,
    generator: torch.Generator | None = None,
) -> Caption:
    """Word the claims with their sides: "a red cube on the left and a blue cone on grass".

    Args:
        claims: the objects.
        sides: per claim "left", "right" or "", which says nothing.
        environment: the place, "" to name none.
        generator: draws the phrasing; plain without one.
    """
    words = [
        f"{c.words()} {SIDES[s]}" if s else c.words() for c, s in zip(claims, sides, strict=True)
    ]
    body = ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1]
    opening, place = _surroundings(environment, generator)
    text = f"{opening}{body} {place}".strip()
    return Caption(text, tuple(claims), (), environment, sides=tuple(sides))


def _surroundings(environment: str, generator: torch.Generator | None) -> tuple[str, str]:
    """How the sentence opens and names its place."""
    place, opening = "", ""
    if environment:
        plain = ENVIRONMENTS[environment].phrase
        place = plain if generator is None else _pick(_PLACES[environment], generator)
    if generator is not None:
        opening = _pick(_OPENINGS, generator)
    return opening, place


def vocabulary() -> tuple[str, ...]:
    """Every word that a caption can use, in order of the alphabet."""
    nouns = [
        Claim(shape, color, count, size).words()
        for shape in SHAPES
        for color in COLORS
        for count in range(len(NUMBERS))
        for size in SIZES
    ]
    joints = [joint for options in RELATIONS.values() for joint in options]
    places = [place for options in _PLACES.values() for place in options]
    sides = SIDES.values()
    scenes = [text for options in _SCENERY.values() for text in options]
    vague = [text.format(number="") for text in (*_VAGUE, *_VAGUE_ONE)]
    text = " ".join([*nouns, *joints, *places, *_OPENINGS, *sides, *scenes, *vague, "and"])
    return tuple(sorted(set(text.split())))


def mirrored(caption: Caption) -> Caption:
    """The caption of the picture flipped left to right."""
    swap = {"left of": "right of", "right of": "left of"}
    text = caption.text.replace("left", "\0").replace("right", "left").replace("\0", "right")
    relations = tuple(
        Relation(r.subject, swap.get(r.name, r.name), r.other) for r in caption.relations
    )
    sides = tuple({"left": "right", "right": "left"}.get(side, "") for side in caption.sides)
    return replace(caption, text=text, relations=relations, sides=sides)


_SCENERY: dict[str, tuple[str, ...]] = {
    "grass": ("grass", "empty grass", "a green lawn under a blue sky"),
    "sand": ("sand", "empty sand", "an empty desert"),
    "snow": ("snow", "empty snow", "nothing but snow"),
    "room": ("an empty room", "a wooden floor", "a room"),
    "dusk": ("dusk", "an empty floor at dusk", "the evening sky"),
}
_VAGUE = ("toys", "some toys", "objects", "several things", "{number} toys", "{number} objects")
_VAGUE_ONE = ("a toy", "an object", "one thing")


def scenery(environment: str, generator: torch.Generator) -> Caption:
    """What is said of a place without any object: "an empty room"."""
    return Caption(_pick(_SCENERY[environment], generator), (), (), environment)


def vague(count: int, environment: str, generator: torch.Generator) -> Caption:
    """A caption that names no object: "three toys on grass"; it claims nothing but the place."""
    text = _pick(_VAGUE, generator)
    if count == 1:
        text = _pick(_VAGUE_ONE, generator)
    place = _pick(_PLACES[environment], generator)
    number = NUMBERS[count] if count > 1 else ""
    return Caption(f"{text.format(number=number)} {place}", (), (), environment, complete=False)


def placeless(caption: Caption) -> Caption:
    """The caption without the place it names."""
    for place in _PLACES.get(caption.environment, ()):
        if caption.text.endswith(f" {place}"):
            text = caption.text.removesuffix(f" {place}")
            return replace(caption, text=text, environment="")
    return caption
