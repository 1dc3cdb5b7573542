"""What suites say of scenes: which objects they name, and in which relation."""

from __future__ import annotations

from collections.abc import Collection

from compose_benchmarks.suite import Promise
from compose_worlds.primitives.captions import Claim, Relation
from compose_worlds.primitives.draw import true_relations
from compose_worlds.primitives.world import Scene as Drawn

__all__ = ["each", "grouped", "pair", "unlike"]

SIDEWAYS = ("left of", "right of")
IN_DEPTH = ("behind", "in front of")


def unlike(claims: Collection[Claim]) -> bool:
    """Whether no two objects share a colour or a shape: then a swap is always a mistake."""
    colors, shapes = {c.color for c in claims}, {c.shape for c in claims}
    return len(colors) == len(shapes) == len(claims)


def each(source: int, drawn: Drawn, claims: tuple[Claim, ...]) -> Promise:
    """Every object by itself, in the order of the scene."""
    return Promise(tuple(range(len(claims))), claims)


def grouped(source: int, drawn: Drawn, claims: tuple[Claim, ...]) -> Promise:
    """Equal objects counted together: "two red cubes"."""
    kinds = list(dict.fromkeys(claims))
    counted = tuple(Claim(k.shape, k.color, claims.count(k), k.size) for k in kinds)
    return Promise(tuple(kinds.index(claim) for claim in claims), counted)


def pair(
    source: int, drawn: Drawn, claims: tuple[Claim, ...], names: Collection[str]
) -> Promise | None:
    """Every object, and one of the relations that hold; the two of the relation come first.

    Which one is said is drawn from the scene's number, so that all are said equally often.
    """
    holds = [r for r in true_relations(list(drawn.solids), drawn.setting) if r.name in names]
    if not holds:
        return None
    said = sorted({r.name for r in holds})
    name = said[source % len(said)]
    options = [r for r in holds if r.name == name]
    chosen = options[source // 7 % len(options)]
    rest = [i for i in range(len(claims)) if i not in (chosen.subject, chosen.other)]
    order = [chosen.subject, chosen.other, *rest]
    return Promise(
        tuple(order.index(i) for i in range(len(claims))),
        tuple(claims[i] for i in order),
        Relation(0, name, 1),
    )
