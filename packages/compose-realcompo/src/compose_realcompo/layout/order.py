"""Orders along one axis: what comes before what, and where that leaves everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Edges = frozenset[tuple[int, int]]
"""Pairs (a, b): a comes before b, that is nearer to the left, the top or the back."""


def reaches(edges: Iterable[tuple[int, int]], start: int, goal: int) -> bool:
    """Whether one comes before another, directly or over others; everything reaches itself."""
    seen, todo = {start}, [start]
    pairs = list(edges)
    while todo:
        at = todo.pop()
        found = {b for a, b in pairs if a == at} - seen
        seen |= found
        todo += found
    return goal in seen


def contracted(edges: Edges, group: Sequence[int]) -> Edges:
    """The order of groups, without what is inside of one."""
    return frozenset((group[a], group[b]) for a, b in edges if group[a] != group[b])


def sequence(
    members: Iterable[int], edges: Edges, near: frozenset[tuple[int, int]] = frozenset()
) -> list[int] | None:
    """All members in an order that obeys the edges; None when there is none.

    Members that should be ``near`` (pairs in both directions) follow one another where possible;
    otherwise the smaller number comes first.
    """
    left, result = set(members), list[int]()
    inside = {(a, b) for a, b in edges if a in left and b in left}
    while left:
        ready = left - {b for a, b in inside if a in left}
        if not ready:
            return None
        last = result[-1] if result else -1

        def wish(member: int, last: int = last) -> tuple[bool, bool, int]:
            links = sum(a == member for a, _ in near)
            return (last, member) not in near, links > 1, member  # chains begin at their ends

        result.append(min(ready, key=wish))
        left.remove(result[-1])
    return result


def levels(members: Iterable[int], edges: Edges) -> dict[int, int]:
    """How many members in a row come after each one at most: 0 for those with none after them."""
    chosen = set(members)
    order = sequence(chosen, edges) or []
    result: dict[int, int] = {}
    for member in reversed(order):
        after = [result[b] for a, b in edges if a == member and b in chosen]
        result[member] = 1 + max(after, default=-1)
    return result


def merge(group: list[int], a: int, b: int) -> list[int]:
    """The groups with those of two members made one."""
    keep, drop = sorted((group[a], group[b]))
    return [keep if label == drop else label for label in group]


def zones(
    classes: dict[int, int | None], edges: Edges, *, ground: bool
) -> tuple[dict[int, int], frozenset[int]]:
    """The part of the axis (-1, 0, 1) that each member is in, and all parts in use.

    Members without a class go where the order lets them: with ``ground`` to the end of the axis
    or the middle, otherwise to the emptiest part. Without any class all is one part, 0.

    Args:
        classes: of each member; None when it may be anywhere.
        edges: acyclic, and in agreement with the classes.
        ground: whether the end of the axis attracts.
    """
    given = {c for c in classes.values() if c is not None}
    if not given:
        return dict.fromkeys(classes, 0), frozenset({0})
    parts = sorted({-1, 1} | ({0} & given))
    result: dict[int, int] = {}
    load = {part: sum(c == part for c in classes.values()) for part in parts}
    for member in sequence(classes, edges) or []:
        fixed = classes[member]
        if fixed is None:
            low = max((result[a] for a, b in edges if b == member and a in result), default=-1)
            later = [c for m, c in classes.items() if c is not None and reaches(edges, member, m)]
            allowed = [p for p in parts if low <= p <= min(later, default=1)]
            if ground:
                fixed = 0 if 0 in allowed else allowed[-1]
            else:
                fixed = min(allowed, key=lambda part: (part == 0, load[part], part))
            load[fixed] += 1
        result[member] = fixed
    return result, frozenset(result.values())


def extents(parts: frozenset[int], middle: int) -> dict[int, tuple[float, float]]:
    """The interval of [0, 1] of each part; ``middle`` is how many places the middle needs."""
    if 0 not in parts:
        return {-1: (0.0, 0.5), 1: (0.5, 1.0)}
    if parts == {0}:
        return {0: (0.0, 1.0) if middle <= 1 else (1 / 3, 2 / 3)}
    return {-1: (0.0, 1 / 3), 0: (1 / 3, 2 / 3), 1: (2 / 3, 1.0)}
