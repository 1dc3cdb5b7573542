"""Drawing scenes and their captions: every number gives one scene, always the same.

Scenes are made by rejection: objects stand on the ground, do not touch, stay in the picture and
remain visible enough to be named. A scene is drawn together with the caption's relation, so that
relations are frequent and never ambiguous.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from compose_core.errors import SceneError
from compose_worlds.primitives.captions import Caption, Claim, Relation, mirrored, phrase, sided
from compose_worlds.primitives.environments import ENVIRONMENTS
from compose_worlds.primitives.solids import SHAPES, SOLIDS
from compose_worlds.primitives.world import COLORS, Scene, Setting, Solid, rest_height, toy

_TRIES = 200
ASIDE = 0.12
"""Picture widths from the middle at which an object clearly stands on one side."""


@dataclass(frozen=True, kw_only=True)
class Taste:
    """What is drawn how often.

    Attributes:
        counts: odds of one, two, three and four objects.
        contrast: times that white and black are likelier than another colour.
        relations: share of captions of several objects that state a relation.
        stacked: share of two-object scenes in which one object stands on the other.
        equal: share of scenes of several objects that all look the same ("two red cubes").
        sizes: share of single objects that are named small or large.
    """

    counts: tuple[float, ...] = (0.34, 0.40, 0.20, 0.06)
    contrast: float = 1.6
    relations: float = 0.75
    stacked: float = 0.12
    equal: float = 0.12
    sizes: float = 0.15


class _Dice:
    """Scalar draws from one generator."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def index(self, odds: list[float]) -> int:
        return int(torch.multinomial(torch.tensor(odds), 1, generator=self.generator))

    def happens(self, probability: float) -> bool:
        return self.uniform(0, 1) < probability


@dataclass(frozen=True)
class Seen:
    """Where an object is seen: centre and radius in picture heights, and its depth."""

    x: float
    y: float
    radius: float
    depth: float


def seen(solid: Solid, setting: Setting) -> Seen:
    """Project a solid's bounding sphere (a square picture is 1 wide)."""
    x, y, z = solid.position
    pitch = math.radians(setting.pitch)
    up, ahead = y - setting.height, z
    depth = ahead * math.cos(pitch) - up * math.sin(pitch)
    slope = 2 * math.tan(math.radians(setting.fov) / 2)
    v = up * math.cos(pitch) + ahead * math.sin(pitch)
    scale = 1 / (depth * slope)
    return Seen(0.5 + x * scale, 0.5 - v * scale, 0.85 * _bound(solid) * scale, depth)


def _bound(solid: Solid) -> float:
    extra = solid.aspect if solid.shape == "capsule" else 0.0
    return (SOLIDS[SHAPES.index(solid.shape)].bound + extra) * solid.size


def setting(dice: _Dice) -> Setting:
    """Draw a place, a camera and a light."""
    side = -1.0 if dice.happens(0.5) else 1.0
    return Setting(
        environment=list(ENVIRONMENTS)[dice.index([1.0] * len(ENVIRONMENTS))],
        height=dice.uniform(1.15, 1.6),
        pitch=dice.uniform(9.0, 15.0),
        fov=dice.uniform(45.0, 52.0),
        light=(side * dice.uniform(20.0, 60.0), dice.uniform(35.0, 58.0)),
        phase=dice.uniform(0.0, 6.0),
    )


def empty(seed: int) -> Scene:
    """Draw place number `seed`, without any object."""
    return Scene(setting=setting(_Dice(seed)))


def _solid(dice: _Dice, place: Setting, kind: tuple[str, str], size: str) -> Solid:
    shape, color = kind
    z = dice.uniform(3.4, 6.2)
    half = z * math.tan(math.radians(place.fov) / 2)
    scale = {"small": (0.40, 0.48), "large": (0.86, 0.98), "": (0.56, 0.76)}[size]
    s = dice.uniform(*scale)
    x = dice.uniform(-1, 1) * max(half - 0.9 * s, 0.1)
    yaw = dice.uniform(-35, 35) if shape == "torus" else dice.uniform(-45, 45)
    return toy(shape, color, x, z, size=s, yaw=yaw)


def _fits(solid: Solid, others: list[Solid], place: Setting) -> bool:
    mine = seen(solid, place)
    if not (mine.radius * 0.8 < mine.x < 1 - mine.radius * 0.8 and mine.y + mine.radius < 1.06):
        return False
    for other in others:
        gap = math.dist(solid.position, other.position) - _bound(solid) - _bound(other)
        theirs = seen(other, place)
        apart = math.hypot(mine.x - theirs.x, mine.y - theirs.y)
        if gap < -0.1 or apart < 0.72 * (mine.radius + theirs.radius):
            return False
    return True


def _stack_on(dice: _Dice, below: Solid, kind: tuple[str, str]) -> Solid:
    shape, color = kind
    top = below.position[1] + rest_height(below.shape, below.size)
    size = min(below.size * dice.uniform(0.72, 0.9), 0.62)
    x, _, z = below.position
    return toy(shape, color, x, z, size=size, yaw=dice.uniform(-35, 35), base=top)


def _kinds(dice: _Dice, count: int, taste: Taste) -> list[tuple[str, str]]:
    odds = [taste.contrast if c in ("white", "black") else 1.0 for c in COLORS]

    def one() -> tuple[str, str]:
        return SHAPES[dice.index([1.0] * len(SHAPES))], list(COLORS)[dice.index(odds)]

    if count > 1 and dice.happens(taste.equal):
        return [one()] * count
    kinds: list[tuple[str, str]] = []
    while len(kinds) < count:
        kind = one()
        if kind not in kinds:
            kinds.append(kind)
    return kinds


def true_relations(solids: list[Solid], place: Setting) -> list[Relation]:
    """Every relation between two solids that holds with a clear margin."""
    found: list[Relation] = []
    at = [seen(s, place) for s in solids]
    for i, a in enumerate(at):
        for j, b in enumerate(at):
            if i == j:
                continue
            if solids[i].position[0::2] == solids[j].position[0::2]:
                if solids[i].position[1] > solids[j].position[1]:
                    found.append(Relation(i, "on", j))
                continue
            if b.x - a.x > 0.2:
                found.append(Relation(i, "left of", j))
            if a.x - b.x > 0.2:
                found.append(Relation(i, "right of", j))
            if a.depth - b.depth > 0.9 and abs(a.x - b.x) < 0.32:
                found.append(Relation(i, "behind", j))
            if b.depth - a.depth > 0.9 and abs(a.x - b.x) < 0.32:
                found.append(Relation(i, "in front of", j))
    return found


def scene(seed: int, taste: Taste | None = None) -> tuple[Scene, tuple[Claim, ...]]:
    """Draw scene number `seed` and the claims of its objects, in the order of its solids.

    Raises:
        SceneError: no scene of this taste was found in many tries.
    """
    taste = taste or Taste()
    dice = _Dice(seed)
    for _ in range(_TRIES):
        place = setting(dice)
        count = 1 + dice.index(list(taste.counts))
        kinds = _kinds(dice, count, taste)
        size = ""
        if count == 1 and dice.happens(taste.sizes):
            size = "small" if dice.happens(0.5) else "large"
        solids = _place(dice, place, kinds, size, taste)
        if solids is not None:
            claims = tuple(Claim(shape, color, 1, size) for shape, color in kinds)
            return Scene(solids=tuple(solids), setting=place), claims
    raise SceneError(
        f"no scene found for seed {seed}",
        got=f"{_TRIES} tries in which objects did not fit",
        remedy="ask for fewer objects",
    )


def _place(
    dice: _Dice, place: Setting, kinds: list[tuple[str, str]], size: str, taste: Taste
) -> list[Solid] | None:
    solids: list[Solid] = []
    for number, kind in enumerate(kinds):
        flat = number == 1 and len(kinds) == 2 and kinds[0][0] in ("cube", "cylinder")
        flat = flat and kind != kinds[0]
        if flat and dice.happens(taste.stacked * 3):
            solids.append(_stack_on(dice, solids[0], kind))
            continue
        for _ in range(12):
            solid = _solid(dice, place, kind, size)
            if _fits(solid, solids, place):
                solids.append(solid)
                break
        else:
            return None
    return solids


def caption(
    drawn: Scene, claims: tuple[Claim, ...], seed: int, taste: Taste | None = None
) -> Caption:
    """Draw caption number `seed` of a drawn scene."""
    taste = taste or Taste()
    dice = _Dice(seed)
    environment = drawn.setting.environment
    if len(claims) > 1 and len(set(claims)) == 1:
        first = claims[0]
        same = Claim(first.shape, first.color, len(claims), first.size)
        return phrase([same], None, environment, dice.generator)
    relation = None
    known = true_relations(list(drawn.solids), drawn.setting)
    if known and dice.happens(taste.relations):
        # "on" is rare in scenes but sure in captions; the others share evenly by name.
        names = sorted({r.name for r in known})
        name = "on" if "on" in names else names[dice.index([1.0] * len(names))]
        options = [r for r in known if r.name == name]
        relation = options[dice.index([1.0] * len(options))]
        if len(claims) > 2 and dice.happens(0.5):
            pair = (claims[relation.subject], claims[relation.other])
            two = Relation(0, relation.name, 1)
            return phrase(pair, two, environment, dice.generator, complete=False)
        return phrase(claims, relation, environment, dice.generator)
    order = torch.randperm(len(claims), generator=dice.generator)
    return phrase([claims[int(i)] for i in order], None, environment, dice.generator)


def sides(drawn: Scene) -> tuple[str, ...]:
    """Per solid the half of the picture where it clearly stands, "" near the middle."""
    at = [seen(s, drawn.setting).x for s in drawn.solids]
    return tuple("left" if x < 0.5 - ASIDE else "right" if x > 0.5 + ASIDE else "" for x in at)


def sided_caption(drawn: Scene, claims: tuple[Claim, ...], seed: int) -> Caption | None:
    """Draw caption number `seed` that says on which side objects stand.

    None where there is no side to speak of, where objects look the same, or where there are more
    than three of them, which would make the sentence too long.
    """
    known = sides(drawn)
    if not any(known) or len(claims) > 3 or len(set(claims)) < len(claims):
        return None
    dice = _Dice(seed)
    order = torch.randperm(len(claims), generator=dice.generator).tolist()
    return sided(
        [claims[i] for i in order],
        [known[i] for i in order],
        drawn.setting.environment,
        dice.generator,
    )


__all__ = [
    "Taste",
    "caption",
    "empty",
    "mirrored",
    "scene",
    "seen",
    "setting",
    "sided_caption",
    "sides",
    "true_relations",
]
