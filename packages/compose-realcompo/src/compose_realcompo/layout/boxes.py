"""From a grid to boxes: cells are shared out, then each box takes some of its own."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from compose_realcompo.layout import order
from compose_realcompo.layout.grid import Grid
from compose_realcompo.layout.model import Box, shared
from compose_realcompo.layout.reading import Reading

MARGIN = 0.04
"""What stays free along the edges of the canvas, as a fraction of it."""

_GAP = 0.06  # on each side of a box, as a fraction of its cell
_FLAT, _TALL = 1.6, 0.6  # bounds of width over height
_OVERLAP = 0.12  # of the narrower of two boxes, one of which is in front


@dataclass(frozen=True)
class Spot:
    """A box of a thing, with its place in depth."""

    thing: int
    box: Box
    z: float


def place(grid: Grid, reading: Reading, rng: random.Random) -> list[Spot]:
    """Boxes of all things, those of one thing from left to right and from top to bottom.

    No two overlap, unless one is said to be in, in front of or behind the other.
    """
    found: list[list[Spot]] = []
    cells = _cells(grid)
    for number, node in enumerate(grid.nodes):
        boxes = _fill(cells[number], len(node.members), grid, number, rng)
        z = grid.z[number]
        found.append([Spot(t, b, z) for t, b in zip(node.members, boxes, strict=True)])
    for front, behind in sorted(grid.deep):
        _overlap(found, front, behind, grid)
    spots = [spot for group in found for spot in group]
    return sorted(spots + _contents(spots, grid, reading, rng), key=lambda spot: spot.thing)


def _cells(grid: Grid) -> list[Box]:
    """The part of the canvas of each node."""
    across, down = _across(grid), _down(grid)
    cells: list[Box] = [(0.0, 0.0, 1.0, 1.0)] * len(grid.nodes)
    for key in dict.fromkeys(zip(grid.column, grid.row, strict=True)):
        members = [n for n in range(len(cells)) if (grid.column[n], grid.row[n]) == key]
        row = order.sequence(members, grid.x) or members
        (x0, x1), (y0, y1) = across[key[0]], down[key[1]]
        for node, (a, b) in zip(
            row, _split(x0, x1, [grid.nodes[n].weight for n in row]), strict=True
        ):
            cells[node] = (_inside(a), _inside(y0), _inside(b), _inside(y1))
    return cells


def _across(grid: Grid) -> dict[int, tuple[float, float]]:
    """The interval of each column."""
    labels = list(dict.fromkeys(grid.column))
    weight: dict[int, float] = {}
    for label in labels:
        rows: dict[tuple[int, int], float] = {}
        for node, column, row in zip(grid.nodes, grid.column, grid.row, strict=True):
            if column == label:
                rows[row] = rows.get(row, 0.0) + node.weight
        weight[label] = max(rows.values())
    middle = [label for label in labels if grid.part[label] == 0]
    said = {n.place[0] for n in grid.nodes} - {None}
    parts = order.extents(frozenset(grid.part.values()), len(middle) if said else 1)
    edges, result = order.contracted(grid.x, grid.column), dict[int, tuple[float, float]]()
    for part, (low, high) in parts.items():
        members = [label for label in labels if grid.part[label] == part]
        row = order.sequence(members, edges, grid.near) or members
        result |= zip(row, _split(low, high, [weight[m] for m in row]), strict=True)
    return result


def _down(grid: Grid) -> dict[tuple[int, int], tuple[float, float]]:
    """The interval of each row."""
    heights = {part: 1 + max(h for p, h in grid.row if p == part) for part, _ in grid.row}
    said = {n.place[1] for n in grid.nodes} - {None}
    parts = order.extents(frozenset(heights), heights.get(0, 1) if said else 1)
    result: dict[tuple[int, int], tuple[float, float]] = {}
    for part, count in heights.items():
        low, high = parts[part]
        for height, interval in enumerate(reversed(_split(low, high, [1.0] * count))):
            result[part, height] = interval
    return result


def _split(low: float, high: float, weights: Sequence[float]) -> list[tuple[float, float]]:
    """Consecutive parts of an interval with lengths as the weights."""
    total, at = math.fsum(weights), 0.0
    edges = [low]
    for weight in weights:
        at += weight
        edges.append(low + (high - low) * at / total)
    return list(zip(edges, edges[1:], strict=False))


def _inside(value: float) -> float:
    return MARGIN + (1 - 2 * MARGIN) * value


def _fill(cell: Box, count: int, grid: Grid, node: int, rng: random.Random) -> list[Box]:
    """The boxes of a node in its cell, in lines when there are several."""
    rests = any(a == node and _below(grid, a, b) for a, b in grid.resting)
    carries = any(b == node and _below(grid, a, b) for a, b in grid.resting)
    anchor = {-1.0: 0.1, 1.0: 0.95}.get(grid.nodes[node].place[2] or 0.0, 0.6)
    scale, boxes = grid.nodes[node].scale, list[Box]()
    lines = _lines(cell, count)
    for x0, y0, x1, y1 in lines:
        width = (x1 - x0) * (1 - 2 * _GAP) * rng.uniform(0.88, 1.0) * (0.85 if rests else 1.0)
        height = (y1 - y0) * (1 - 2 * _GAP) * rng.uniform(0.88, 1.0)
        width, height = scale * min(width, _FLAT * height), scale * min(height, width / _TALL)
        slack = (x1 - x0 - width) / 2 - _GAP * (x1 - x0)
        centred = grid.nodes[node].place[0] == 0 or rests or carries
        shift = 0.0 if centred else rng.uniform(-0.5, 0.5) * max(0.0, slack)
        left = (x0 + x1 - width) / 2 + shift
        top = y0 + (y1 - y0 - height) * (1.0 if rests else anchor)
        bottom = top + height
        if rests and y1 == cell[3]:
            bottom = y1
        if carries and y0 == cell[1]:
            top, bottom = y0, y0 + max(height, 0.7 * (y1 - y0))
        boxes.append((left, top, left + width, bottom))
    return boxes


def _below(grid: Grid, upper: int, lower: int) -> bool:
    """Whether one node is right below another one, so that they can touch."""
    (p, a), (q, b) = grid.row[upper], grid.row[lower]
    return grid.column[upper] == grid.column[lower] and p == q and a == b + 1


def _lines(cell: Box, count: int) -> list[Box]:
    """``count`` equal parts of a cell in full lines as square as can be; the last is centred."""
    x0, y0, x1, y1 = cell

    def bad(columns: int) -> tuple[float, int]:
        rows = math.ceil(count / columns)
        uneven = 1.2 if count % columns else 0.0
        return uneven + abs(math.log((x1 - x0) / columns / ((y1 - y0) / rows))), -columns

    columns = min(range(1, count + 1), key=bad)
    rows = _split(y0, y1, [1.0] * math.ceil(count / columns))
    result: list[Box] = []
    for number, (top, bottom) in enumerate(rows):
        here = min(columns, count - number * columns)
        indent = (x1 - x0) * (1 - here / columns) / 2
        across = _split(x0 + indent, x1 - indent, [1.0] * here)
        result += [(a, top, b, bottom) for a, b in across]
    return result


def _overlap(found: list[list[Spot]], front: int, behind: int, grid: Grid) -> None:
    """Draw two boxes towards each other until they overlap a little, if nothing is in between.

    The farther one stands higher, as on any ground seen from above. Nodes of which a side is
    said stay where they are.
    """
    if any(grid.nodes[n].place[0] is not None for n in (front, behind)):
        return
    i, j = min(
        ((i, j) for i in range(len(found[front])) for j in range(len(found[behind]))),
        key=lambda p: abs(_middle(found[front][p[0]].box) - _middle(found[behind][p[1]].box)),
    )
    near, far = found[front][i].box, found[behind][j].box
    near, far = _approach(near, far)
    lift = min(0.15 * (far[3] - far[1]), far[1] - MARGIN)
    moved = any(behind in pair for pair in grid.resting)
    for shift in (0.0,) if moved else (lift, 0.0):
        higher = (far[0], far[1] - shift, far[2], far[3] - shift)
        rest = [
            spot.box
            for number, group in enumerate(found)
            for place, spot in enumerate(group)
            if (number, place) not in ((front, i), (behind, j))
        ]
        if all(shared(near, other) == 0 == shared(higher, other) for other in rest):
            found[front][i] = Spot(found[front][i].thing, near, found[front][i].z)
            found[behind][j] = Spot(found[behind][j].thing, higher, found[behind][j].z)
            return


def _approach(a: Box, b: Box) -> tuple[Box, Box]:
    """Two boxes side by side, widened towards each other."""
    if _middle(a) > _middle(b):
        second, first = _approach(b, a)
        return first, second
    meet = (a[2] + b[0]) / 2
    half = _OVERLAP / 2 * min(a[2] - a[0], b[2] - b[0])
    return (a[0], a[1], max(a[2], meet + half), a[3]), (min(b[0], meet - half), *b[1:])


def _middle(box: Box) -> float:
    return (box[0] + box[2]) / 2


def _contents(spots: list[Spot], grid: Grid, reading: Reading, rng: random.Random) -> list[Spot]:
    """What is in other things, inside their first box and before them; also contents of those."""
    found: list[Spot] = []
    todo = [(spot, 0.5) for spot in spots]
    filled: set[int] = set()
    while todo:
        outer, step = todo.pop(0)
        if outer.thing in filled:
            continue
        filled.add(outer.thing)
        held = [thing for thing, container in grid.inside.items() if container == outer.thing]
        members = [thing for thing in held for _ in range(reading.things[thing].count)]
        if not members:
            continue
        x0, y0, x1, y1 = outer.box
        width, height = x1 - x0, y1 - y0
        cell = (x0 + 0.12 * width, y0 + 0.12 * height, x1 - 0.12 * width, y1 - 0.12 * height)
        for thing, (a, b, c, d) in zip(members, _lines(cell, len(members)), strict=True):
            gap_x, gap_y = _GAP * (c - a), rng.uniform(0.5, 1.5) * _GAP * (d - b)
            box = (a + gap_x, b + gap_y, c - gap_x, d - gap_y)
            found.append(Spot(thing, box, outer.z + step))
        todo += [(spot, step / 2) for spot in found[-len(members) :]]
    return found
