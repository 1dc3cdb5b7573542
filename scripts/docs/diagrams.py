"""The diagrams of the concept pages: boxes on a grid, arrows between them.

They are written into the pages as they are, so that their colours are those of the page: classes
`node`, `here`, `edge` and `note` are styled in `docs/stylesheets/site.css`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from svg import Svg

CELL_W, CELL_H, BOX_W, BOX_H = 148, 92, 116, 52


@dataclass(frozen=True)
class Node:
    """A box: its place on the grid, its name, and a line in small print."""

    column: float
    row: float
    name: str
    note: str = ""


@dataclass(frozen=True)
class Diagram:
    """Boxes by key; arrows as (from, to) or (from, to, words); keys of boxes to bring out."""

    title: str
    nodes: dict[str, Node]
    edges: list[tuple[str, ...]]
    here: frozenset[str] = field(default_factory=frozenset[str])

    def render(self) -> str:
        """The drawing in a figure, without blank lines: Markdown then leaves it alone."""
        columns = max(n.column for n in self.nodes.values())
        rows = max(n.row for n in self.nodes.values())
        width, height = columns * CELL_W + BOX_W + 4, rows * CELL_H + BOX_H + 4
        page = Svg(width, height, self.title, class_="diagram")
        for edge in self.edges:
            _arrow(page, self.nodes[edge[0]], self.nodes[edge[1]], edge[2] if edge[2:] else "")
        for key, node in self.nodes.items():
            _box(page, node, key in self.here)
        style = f' style="--diagram-width: {round(width)}px"'
        return f'<figure class="diagram"{style}>\n{page.render()}</figure>\n'


def _corner(node: Node) -> tuple[float, float]:
    return node.column * CELL_W + 2, node.row * CELL_H + 2


def _box(page: Svg, node: Node, here: bool) -> None:
    x, y = _corner(node)
    page.rect(x, y, BOX_W, BOX_H, 9, class_="node here" if here else "node")
    middle, mark = x + BOX_W / 2, " here" if here else ""
    base = y + (BOX_H / 2 + 4.5 if not node.note else 22)
    page.text(middle, base, node.name, 14, class_=f"name{mark}", text_anchor="middle")
    if node.note:
        page.text(middle, y + 39, node.note, 11, class_=f"note{mark}", text_anchor="middle")


def _arrow(page: Svg, start: Node, end: Node, words: str) -> None:
    (x1, y1), (x2, y2) = _corner(start), _corner(end)
    if start.column == end.column:
        down = y2 > y1
        a = (x1 + BOX_W / 2, y1 + (BOX_H if down else 0))
        b = (x2 + BOX_W / 2, y2 + (0 if down else BOX_H))
        turn = (0.0, 1.0 if down else -1.0)
    else:
        right = x2 > x1
        a = (x1 + (BOX_W if right else 0), y1 + BOX_H / 2)
        b = (x2 + (0 if right else BOX_W), y2 + BOX_H / 2)
        turn = (1.0 if right else -1.0, 0.0)
    tip = (b[0] - 3 * turn[0], b[1] - 3 * turn[1])
    reach = 0.5 * (abs(tip[0] - a[0]) if turn[0] else abs(tip[1] - a[1]))
    first = (a[0] + reach * turn[0], a[1] + reach * turn[1])
    second = (tip[0] - reach * turn[0], tip[1] - reach * turn[1])
    points = " ".join(f"{p[0]:.1f},{p[1]:.1f}" for p in (first, second, tip))
    page.path(f"M{a[0]:.1f},{a[1]:.1f} C{points}", class_="edge")
    wing = [(tip[0] - 7 * turn[0] + s * 4 * turn[1], tip[1] - 7 * turn[1] + s * 4 * turn[0])
            for s in (1, -1)]  # fmt: skip
    outline = " L".join(f"{p[0]:.1f},{p[1]:.1f}" for p in (wing[0], tip, wing[1]))
    page.path(f"M{outline}", class_="edge head")
    if words:
        place = ((a[0] + tip[0]) / 2, (a[1] + tip[1]) / 2)
        shift = (0, -7) if turn[0] else (8, 4)
        anchor = "middle" if turn[0] else "start"
        page.text(
            place[0] + shift[0], place[1] + shift[1], words, 11, class_="note", text_anchor=anchor
        )


_FLOW = {
    "scene": Node(0, 0, "scene file", "what, where"),
    "condition": Node(1, 0, "conditions", "typed values"),
    "encoded": Node(2, 0, "encoded", "tensors"),
    "denoiser": Node(3, 0, "denoisers", "predict x₀"),
    "composer": Node(3, 1, "composer", "its own rule"),
    "sampler": Node(2, 1, "sampler", "noise to sample"),
    "codec": Node(1, 1, "codec", "latents to pixels"),
    "picture": Node(0, 1, "picture", "with its scene"),
}
_FLOW_EDGES = [
    ("scene", "condition"), ("condition", "encoded"), ("encoded", "denoiser"),
    ("composer", "sampler"), ("sampler", "codec"), ("codec", "picture"),
]  # fmt: skip


def _flow(*here: str) -> Diagram:
    title = "A scene becomes conditions, tensors, denoisers, a composition, a sample, a picture"
    return Diagram(title, _FLOW, [*_FLOW_EDGES, ("denoiser", "composer")], frozenset(here))


DIAGRAMS = {
    "flow": _flow("composer"),
    "scene": _flow("scene"),
    "condition": _flow("condition", "encoded"),
    "schedule": Diagram(
        "A schedule gives levels; a network trained on one schedule is asked under another",
        {
            "schedule": Node(0, 0.5, "Schedule", "VP, EDM, flow"),
            "levels": Node(1, 0.5, "levels(steps)", "noisy first"),
            "level": Node(2, 0.5, "Level", "α, σ, t"),
            "sampler": Node(3, 0, "Sampler", "walks them"),
            "network": Node(3, 1, "Network", "same σ / α"),
        },
        [("schedule", "levels"), ("levels", "level"), ("level", "sampler"),
         ("level", "network", "match")],
        frozenset({"schedule", "levels", "level"}),
    ),
    "prediction": Diagram(
        "One prediction, seen as the clean sample, the noise, the score, the velocity or the flow",
        {
            "network": Node(0, 1, "Network", "whatever it says"),
            "prediction": Node(1, 1, "Prediction", "x₀ at a level"),
            "eps": Node(2, 0, "eps", "noise"),
            "score": Node(2, 1, "score", "∇ log p"),
            "velocity": Node(2, 2, "velocity, flow", "directions"),
            "sampler": Node(3, 1, "Sampler", "takes its view"),
        },
        [("network", "prediction"), ("prediction", "eps"), ("prediction", "score"),
         ("prediction", "velocity"), ("eps", "sampler"), ("score", "sampler"),
         ("velocity", "sampler")],
        frozenset({"prediction"}),
    ),
    "denoiser": Diagram(
        "A network with its condition is a denoiser; so is anything made of denoisers",
        {
            "network": Node(0, 0, "Network", "x_t, level, text"),
            "encoded": Node(0, 1, "Encoded", "a condition"),
            "bound": Node(1, 0.5, "Bound", "a denoiser"),
            "guided": Node(2, 0, "Guided", "a denoiser"),
            "composer": Node(2, 1, "Composer", "a denoiser"),
            "sampler": Node(3, 0.5, "Sampler", "sees a denoiser"),
        },
        [("network", "bound"), ("encoded", "bound"), ("bound", "guided"), ("bound", "composer"),
         ("guided", "sampler"), ("composer", "sampler")],
        frozenset({"bound", "guided", "composer"}),
    ),
    "evaluator": Diagram(
        "Questions of the whole tree go out together, answers come back in the same shape",
        {
            "composer": Node(0, 0.5, "Composer", "the tree's root"),
            "a": Node(1, 0, "part 1", "asks"),
            "b": Node(1, 1, "part 2", "asks"),
            "evaluator": Node(2, 0.5, "Evaluator", "groups, batches"),
            "network": Node(3, 0.5, "Network", "one call"),
        },
        [("composer", "a"), ("composer", "b"), ("a", "evaluator"), ("b", "evaluator"),
         ("evaluator", "network", "batch")],
        frozenset({"evaluator"}),
    ),
    "view": Diagram(
        "A view observes a canvas; its adjoint pastes what was said back",
        {
            "canvas": Node(0, 0.5, "canvas", "x"),
            "w1": Node(1, 0, "Window 1", "A₁ x"),
            "w2": Node(1, 1, "Window 2", "A₂ x"),
            "d1": Node(2, 0, "denoiser", "x₀ of a part"),
            "d2": Node(2, 1, "denoiser", "x₀ of a part"),
            "whole": Node(3, 0.5, "Consensus", "Σ A′ W x₀"),
        },
        [("canvas", "w1"), ("canvas", "w2"), ("w1", "d1"), ("w2", "d2"), ("d1", "whole"),
         ("d2", "whole")],
        frozenset({"w1", "w2"}),
    ),
    "composer": Diagram(
        "Parts predict, the rule merges, and the result is a denoiser again",
        {
            "a": Node(0, 0, "denoiser", "a red sphere"),
            "b": Node(0, 1, "denoiser", "a blue cube"),
            "regional": Node(1, 0.5, "Regional", "by masks"),
            "c": Node(1, 1.5, "denoiser", "another canvas"),
            "consensus": Node(2, 1, "Consensus", "over views"),
            "sampler": Node(3, 1, "Sampler", "one denoiser"),
        },
        [("a", "regional"), ("b", "regional"), ("regional", "consensus"), ("c", "consensus"),
         ("consensus", "sampler")],
        frozenset({"regional", "consensus"}),
    ),
    "sampler": Diagram(
        "Each step: adapt once, predict as often as needed, move on",
        {
            "x": Node(0, 0, "x_t", "noise at first"),
            "adapt": Node(1, 0, "adapt", "once per step"),
            "predict": Node(2, 0, "predict", "once or more"),
            "move": Node(3, 0, "move", "to the next level"),
            "moment": Node(3, 1, "Moment", "yours to look at"),
        },
        [("x", "adapt"), ("adapt", "predict"), ("predict", "move"), ("move", "moment")],
        frozenset({"adapt", "predict", "move"}),
    ),
    "codec": _flow("codec"),
    "attention": Diagram(
        "Inside `record`, chosen layers compute their softmax explicitly and keep it",
        {
            "network": Node(0, 0.5, "network", "untouched"),
            "record": Node(1, 0.5, "with record", "chosen layers"),
            "maps": Node(2, 0, "AttentionMaps", "who looks where"),
            "same": Node(2, 1, "prediction", "the same"),
            "after": Node(3, 0.5, "network", "bit for bit as before"),
        },
        [("network", "record"), ("record", "maps"), ("record", "same"), ("maps", "after"),
         ("same", "after")],
        frozenset({"record", "maps"}),
    ),
    "trace": Diagram(
        "What happened at each step goes into one file",
        {
            "sampler": Node(0, 0, "Sampler", "step by step"),
            "moment": Node(1, 0, "Moment", "x_t, x₀, state"),
            "trace": Node(2, 0, "Trace", "named tensors"),
            "picture": Node(3, 0, "picture()", "rows and columns"),
        },
        [("sampler", "moment"), ("moment", "trace"), ("trace", "picture")],
        frozenset({"trace"}),
    ),
    "method": Diagram(
        "A method turns a scene and a model into a denoiser",
        {
            "scene": Node(0, 0, "Scene", "checked"),
            "model": Node(0, 1, "Model", "network, text, codec"),
            "method": Node(1, 0.5, "Method", "plan(…)"),
            "plan": Node(2, 0.5, "Plan", "a denoiser, a shape"),
            "sampler": Node(3, 0.5, "Sampler", "any"),
        },
        [("scene", "method"), ("model", "method"), ("method", "plan"), ("plan", "sampler")],
        frozenset({"method", "plan"}),
    ),
    "zoo": Diagram(
        "A name becomes a folder of which every byte has been checked",
        {
            "id": Node(0, 0.5, "an id", "sd-tiny"),
            "manifest": Node(1, 0.5, "Manifest", "files, sha256"),
            "place": Node(2, 0, "Place", "four, in order"),
            "verify": Node(2, 1, "verify", "every byte"),
            "model": Node(3, 0.5, "Model", "strictly loaded"),
        },
        [("id", "manifest"), ("manifest", "place"), ("manifest", "verify"), ("place", "model"),
         ("verify", "model")],
        frozenset({"manifest", "place", "verify"}),
    ),
    "training": Diagram(
        "A task and a configuration go in, progress comes out, a checkpoint holds all of it",
        {
            "task": Node(0, 0, "Task", "networks, data, loss"),
            "config": Node(0, 1, "TrainConfig", "steps, rate, seed"),
            "train": Node(1, 0.5, "train", "a generator"),
            "progress": Node(2, 0, "Progress", "yours to show"),
            "checkpoint": Node(2, 1, "Checkpoint", "exact, atomic"),
            "export": Node(3, 1, "export", "averaged weights"),
        },
        [("task", "train"), ("config", "train"), ("train", "progress"), ("train", "checkpoint"),
         ("checkpoint", "export")],
        frozenset({"train", "checkpoint"}),
    ),
}  # fmt: skip


def pages() -> dict[str, str]:
    """Each diagram, by the path of its file below `docs/`."""
    return {f"fragments/diagrams/{name}.svg": d.render() for name, d in DIAGRAMS.items()}
