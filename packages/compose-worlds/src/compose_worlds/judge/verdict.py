"""Checking a caption's claims against what the judge sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compose_worlds.judge.reading import Found
from compose_worlds.primitives.captions import Caption, Claim, Relation


@dataclass(frozen=True)
class Verdict:
    """How far a picture keeps a caption's promises.

    Attributes:
        claims: per claim, whether at least as many such objects are seen.
        all: whether every claim holds.
        exact: the stricter reading: exactly the claimed objects, no duplicates, nothing else.
        relations: per relation, whether it holds; None where an object of it is missing.
        sides: per claim with a side, whether such an object's centre is in that half of the
            picture; None where the object is missing or the caption names no side for it.
    """

    claims: tuple[bool, ...]
    all: bool
    exact: bool
    relations: tuple[bool | None, ...]
    sides: tuple[bool | None, ...] = ()


def _matches(claim: Claim, found: Sequence[Found]) -> list[Found]:
    return [f for f in found if f.shape == claim.shape and f.color == claim.color]


_HOLDS: dict[str, Callable[[Found, Found], bool]] = {
    "left of": lambda a, b: a.centre[0] < b.centre[0],
    "right of": lambda a, b: a.centre[0] > b.centre[0],
    "behind": lambda a, b: a.depth > b.depth,
    "in front of": lambda a, b: a.depth < b.depth,
    "on": lambda a, b: (
        a.centre[1] < b.centre[1]
        and a.box[0] < b.centre[0] < a.box[2]
        and a.box[3] > b.box[1] - 0.1
    ),
}


def _relation(relation: Relation, matched: Sequence[Sequence[Found]]) -> bool | None:
    first, second = matched[relation.subject], matched[relation.other]
    if not first or not second:
        return None
    return _HOLDS[relation.name](first[0], second[0])


def _side(side: str, matched: Sequence[Found]) -> bool | None:
    if not side or not matched:
        return None
    return (matched[0].centre[0] < 0.5) == (side == "left")


def verdict(caption: Caption, found: Sequence[Found]) -> Verdict:
    """Check the claims and relations of a caption against the objects found in a picture."""
    matched = [_matches(c, found) for c in caption.claims]
    wanted: Counter[tuple[str, str]] = Counter()
    for claim in caption.claims:
        wanted[claim.shape, claim.color] += claim.count
    seen = Counter((f.shape, f.color) for f in found)
    claims = tuple(seen[c.shape, c.color] >= wanted[c.shape, c.color] for c in caption.claims)
    return Verdict(
        claims=claims,
        all=all(claims),
        exact=seen == wanted,
        relations=tuple(_relation(r, matched) for r in caption.relations),
        sides=tuple(_side(s, m) for s, m in zip(caption.sides, matched, strict=False)),
    )
