"""A reading as a grid: columns that do not overlap, rows that do not, and who is where."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from compose_core.errors import UsageError
from compose_realcompo.layout import order
from compose_realcompo.layout.order import Edges
from compose_realcompo.layout.reading import Place, Reading, Relation
from compose_realcompo.layout.words import singular

_BUNDLE = 5  # as many things of which nothing is said are laid out in several lines
_AXIS = {"left": 0, "right": 0, "between": 0, "on": 1, "above": 1, "below": 1,
         "front": 2, "behind": 2}  # fmt: skip
_SAID = {"left": "left of", "right": "right of", "front": "in front of", "in": "in"}


@dataclass(frozen=True)
class Node:
    """Boxes that are laid out together.

    Attributes:
        members: number of the thing of each box.
        scale: of width and height.
        place: the part of the picture.
    """

    members: tuple[int, ...]
    scale: float = 1.0
    place: Place = (None, None, None)

    @property
    def weight(self) -> float:
        """How much width it wants against a single box."""
        count = len(self.members)
        return float(count) if count <= 3 else 1.5 * count**0.5


@dataclass(frozen=True)
class Grid:
    """Where nodes are, in numbers of columns and rows.

    Attributes:
        nodes: what is placed.
        column: of each node; nodes of one column and row are side by side, in order of ``x``.
        row: of each node: part (-1, 0, 1) and height above the lowest of the part.
        part: of each column: -1, 0, 1.
        x: which node is left of which.
        z: place in depth of each node.
        near: columns that should be next to each other, in both directions.
        inside: the thing that a thing is in.
        resting: pairs of nodes, the first of which rests on the second.
        deep: pairs of nodes, the first of which is in front of the second.
    """

    nodes: tuple[Node, ...]
    column: tuple[int, ...]
    row: tuple[tuple[int, int], ...]
    part: dict[int, int]
    x: Edges
    z: tuple[float, ...]
    near: frozenset[tuple[int, int]]
    inside: dict[int, int]
    resting: frozenset[tuple[int, int]]
    deep: frozenset[tuple[int, int]]


def build(reading: Reading) -> Grid:
    """Give every thing that is not in another one a column and a row.

    Raises:
        UsageError: the prompt contradicts itself: each of two things left of the other.
    """
    return _Builder(reading).grid()


class _Builder:
    """Collects the orders along the axes, then the columns and rows that they allow."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.inside = self.containers()
        self.nodes, self.of = self.make_nodes()
        self.edges: list[set[tuple[int, int]]] = [set(), set(), set()]
        self.near: set[tuple[int, int]] = set()
        self.resting: set[tuple[int, int]] = set()
        for relation in reading.relations:
            if relation.name != "in":
                self.relate(relation)
        for axis in range(3):
            self.part(axis)

    def containers(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for relation in self.reading.relations:
            if relation.name == "in":
                if order.reaches(found.items(), relation.others[0], relation.subject):
                    raise self.contradiction(relation)
                found[relation.subject] = relation.others[0]
        return found

    def outermost(self, thing: int) -> int:
        while thing in self.inside:
            thing = self.inside[thing]
        return thing

    def make_nodes(self) -> tuple[list[Node], dict[int, list[int]]]:
        """The nodes, and those of each thing: two when something is between its boxes."""
        reading = self.reading
        related = {n for r in reading.relations for n in (r.subject, *r.others)}
        split = {r.others[0] for r in reading.relations if len(set(r.others)) < len(r.others)}
        loose = [
            number
            for number, thing in enumerate(reading.things)
            if number not in related and thing.place == (None, None, None)
        ]
        bundled = loose if len(loose) >= _BUNDLE else []
        nodes, of = list[Node](), dict[int, list[int]]()
        for number, thing in enumerate(reading.things):
            if number in self.inside or number in bundled[1:]:
                continue
            members = [(number,) * thing.count]
            if number in bundled:
                members = [tuple(n for n in bundled for _ in range(reading.things[n].count))]
            elif number in split:
                if thing.count < 2:
                    raise UsageError(
                        "something cannot be between one thing",
                        got=f"{singular(thing.name)!r} for both ends of 'between'",
                        remedy="name two things, or several of one kind: 'between two trees'",
                    )
                half = (thing.count + 1) // 2
                members = [(number,) * half, (number,) * (thing.count - half)]
            of[number] = list(range(len(nodes), len(nodes) + len(members)))
            scale = 1.0 if number in bundled else thing.scale
            nodes += [Node(part, scale, thing.place) for part in members]
        return nodes, of

    def relate(self, relation: Relation) -> None:
        subject, others = relation.subject, relation.others
        mine, *theirs = (self.of[self.outermost(n)] for n in (subject, *others))
        if relation.name == "between":
            first, second = (theirs[0][:1], theirs[0][1:]) if others[0] == others[1] else theirs
            straight = [*product(first, mine), *product(mine, second)]
            turned = [*product(second, mine), *product(mine, first)]
            if not self.add(0, straight) and not self.add(0, turned):
                raise self.contradiction(relation)
            self.near |= {*straight, *((b, a) for a, b in straight)}
            return
        pairs = [(a, b) for a, b in product(mine, theirs[0]) if a != b]
        if relation.name in ("right", "below", "front"):
            pairs = [(b, a) for a, b in pairs]
        if relation.name in _AXIS and not self.add(_AXIS[relation.name], pairs):
            raise self.contradiction(relation)
        if relation.name == "on":
            self.resting |= set(pairs)
        if relation.name not in ("on", "above", "below"):
            self.near |= {*pairs, *((b, a) for a, b in pairs)}

    def add(self, axis: int, pairs: list[tuple[int, int]]) -> bool:
        """Add to an order unless that would close a circle."""
        trial = self.edges[axis] | set(pairs)
        if order.sequence(range(len(self.nodes)), frozenset(trial)) is None:
            return False
        self.edges[axis] = trial
        return True

    def part(self, axis: int) -> None:
        """Things said to be on the left come before those on the right, and so on."""
        value = [n.place[axis] for n in self.nodes]
        filled = [0 if v is None and axis == 2 else v for v in value]
        pairs = [
            (a, b)
            for (a, p), (b, q) in product(enumerate(filled), repeat=2)
            if p is not None and q is not None and p < q
        ]
        if not self.add(axis, pairs):
            raise UsageError(
                "the prompt contradicts itself",
                got="what it says of sides and what it says of relations exclude each other",
                remedy="leave out one of them",
            )

    def grid(self) -> Grid:
        x, y, z = (frozenset(edges) for edges in self.edges)
        row = self.rows(y)
        column = self.columns(x, y, row)
        classes = {
            label: next((p for p in self.places(column, label) if p is not None), None)
            for label in column
        }
        part, _ = order.zones(classes, order.contracted(x, column), ground=False)
        depth = order.levels(range(len(self.nodes)), frozenset((b, a) for a, b in z))
        base = int(any(node.place[2] == -1 for node in self.nodes))
        near = frozenset((column[a], column[b]) for a, b in self.near if column[a] != column[b])
        said = {r for r in self.reading.relations if r.name in ("front", "behind")}
        deep: set[tuple[int, int]] = set()
        for r in said:
            mine, theirs = (self.of[self.outermost(n)] for n in (r.subject, r.others[0]))
            pairs = product(mine, theirs) if r.name == "front" else product(theirs, mine)
            deep |= {(a, b) for a, b in pairs if a != b}
        return Grid(
            nodes=tuple(self.nodes),
            column=tuple(column),
            row=tuple(row),
            part=part,
            x=x,
            z=tuple(float(depth[n] - base) for n in range(len(self.nodes))),
            near=near,
            inside=self.inside,
            resting=frozenset(self.resting),
            deep=frozenset(deep),
        )

    def places(self, column: list[int], label: int) -> list[int | None]:
        return [n.place[0] for n, c in zip(self.nodes, column, strict=True) if c == label]

    def rows(self, y: Edges) -> list[tuple[int, int]]:
        """Side by side where nothing is above; neighbours stand on the same height if they can."""
        group = list(range(len(self.nodes)))
        for a, b in sorted(self.near):
            trial = order.merge(group, a, b)
            members = [n for n, label in enumerate(trial) if label == trial[a]]
            said = {self.nodes[n].place[1] for n in members} - {None}
            apart = not any((m, n) in y for m in members for n in members)
            edges = order.contracted(y, trial)
            if apart and len(said) < 2 and order.sequence(set(trial), edges) is not None:
                group = trial
        edges = order.contracted(y, group)
        classes: dict[int, int | None] = dict.fromkeys(group)
        for node, label in enumerate(group):
            said = self.nodes[node].place[1]
            classes[label] = said if said is not None else classes[label]
        part, parts = order.zones(classes, edges, ground=True)
        height: dict[int, int] = {}
        for number in parts:
            height |= order.levels([g for g in classes if part[g] == number], edges)
        return [(part[label], height[label]) for label in group]

    def columns(self, x: Edges, y: Edges, row: list[tuple[int, int]]) -> list[int]:
        """What is above something shares its column, unless it is also beside it."""
        column = list(range(len(self.nodes)))
        for a, b in sorted(y & frozenset(self.pairs())):
            column = self.stacked(column, a, b, x, row) or column
        loose = [n for n in column if not any(n in edge for edge in (*x, *self.near))]
        if any(part != row[0][0] for part, _ in row):  # some above, some below: not in a diagonal
            for a, b in product(loose, loose):
                rows = [{row[n] for n, c in enumerate(column) if c == column[i]} for i in (a, b)]
                if a < b and not rows[0] & rows[1]:
                    column = self.stacked(column, a, b, x, row) or column
        return column

    def pairs(self) -> list[tuple[int, int]]:
        """Nodes that relations put above each other, in both directions."""
        found: list[tuple[int, int]] = []
        for relation in self.reading.relations:
            if _AXIS.get(relation.name) == 1:
                ends = (relation.subject, relation.others[0])
                mine, theirs = (self.of[self.outermost(n)] for n in ends)
                found += [*product(mine, theirs), *product(theirs, mine)]
        return found

    def stacked(
        self, column: list[int], a: int, b: int, x: Edges, row: list[tuple[int, int]]
    ) -> list[int] | None:
        """The columns with two made one; None when the order from left to right forbids it."""
        trial = order.merge(column, a, b)
        members = [n for n, label in enumerate(trial) if label == trial[a]]
        crossed = any(row[m] != row[n] for m, n in x if m in members and n in members)
        said = {self.nodes[n].place[0] for n in members} - {None}
        if crossed or len(said) > 1:
            return None
        good = order.sequence(set(trial), order.contracted(x, trial)) is not None
        return trial if good else None

    def contradiction(self, relation: Relation) -> UsageError:
        things = self.reading.things
        others = " and ".join(things[n].name for n in dict.fromkeys(relation.others))
        said = _SAID.get(relation.name, relation.name)
        return UsageError(
            "the prompt contradicts itself",
            got=f"{singular(things[relation.subject].name)} {said} {others}, and the reverse",
            remedy="leave out one of the relations",
        )
