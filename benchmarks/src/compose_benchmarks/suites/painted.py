"""Scenes given as five dense labels, all of them or with gaps (Table 1 and Figure 6 of TLAM).

Each label is a layer with a file; where it is missing its layer has a mask. Labels are exact, but
for what files round; edges are those of the scene's true picture. All suites are of the same
scenes, so that their numbers can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch

from compose_benchmarks import fidelity, scorers
from compose_benchmarks.items import SIDE, Item
from compose_benchmarks.suite import Source, Suite, boxes
from compose_benchmarks.suites import said
from compose_benchmarks.suites.files import Files
from compose_core.images import MAX_CURVATURE
from compose_core.scene import Layer
from compose_tlam.data import texture_edges
from compose_tlam.labels import PRIMITIVES
from compose_tlam.sparsity import areas, drop
from compose_tlam.stack import LabelStack
from compose_worlds.primitives.labels import Labels, relative_depth
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import Scene as Drawn
from compose_worlds.primitives.world import stack

__all__ = [
    "DENSE",
    "SPARSE",
    "SPARSE_10",
    "SPARSE_30",
    "SPARSE_70",
    "WITHOUT",
    "Painted",
    "labels_of",
    "layered",
]

_START = 61_000_000
METHODS = (
    "tlam",
    "tlam-sparse",
    "tlam-control",
    "clam",
    "clam-sparse",
    "asap-naive",
    "asap-naive-sparse",
    "asap-semantic",
    "spade",
    "spade-naive",
)
"""Painters of labels: no other suite is about what they hear."""


def labels_of(drawn: Drawn, seen: Labels) -> LabelStack:
    """The five labels of a drawn scene, of which `seen` are the world's."""
    ground = seen.depth[:, 0].isfinite()
    values = {
        "semantics": seen.semantics,
        "depth": relative_depth(seen.inverse_depth),
        "normals": seen.normals,
        "curvature": seen.curvature.clamp(-MAX_CURVATURE, MAX_CURVATURE),
        "edges": texture_edges(picture(stack([drawn]), (SIDE, SIDE))),
    }
    return LabelStack.of(PRIMITIVES, values, {"normals": ground, "curvature": ground})


@final
@dataclass(frozen=True)
class Painted:
    """Writes items whose layers are labels.

    Attributes:
        sparsity: Probability that a label is missing in an area.
        without: Labels that are missing everywhere.
    """

    sparsity: float = 0.0
    without: tuple[str, ...] = ()

    def __call__(self, number: int, source: Source) -> Sequence[Item]:
        """One item."""
        (made,) = boxes(number, source)
        labels = labels_of(source.drawn, source.seen).without(*self.without)
        if self.sparsity:
            dice = torch.Generator().manual_seed(source.number)
            regions = areas(source.seen.semantics, source.seen.instance + 1)
            labels = drop(labels, regions, self.sparsity, dice)
        layers, files = layered(labels)
        scene = made.scene.model_copy(update={"layers": layers})
        return (replace(made, scene=scene.with_assets(files.assets())),)


def layered(labels: LabelStack) -> tuple[tuple[Layer, ...], Files]:
    """Labels of one picture as the layers of a scene, with the files that these name."""
    layers: list[Layer] = []
    files = Files()
    for name, layer in labels.layers.items():
        valid = layer.valid[0]
        if not bool(valid.any()):
            continue
        value = layer.value[0]
        given: dict[str, Any] = {"name": name}
        match name:
            case "semantics":
                given["segments"] = files.numbers(value)
            case "depth":
                given["depth"] = files.depth(value[0])
            case "edges":
                given["edges"] = files.edges(value[0])
            case "normals":
                given["normals"] = files.signed("normals", value)
            case _:
                given["curvature"] = files.signed("curvature", value / MAX_CURVATURE)
        if not bool(valid.all()):
            given["mask"] = files.mask(valid)
        layers.append(Layer(**given))
    if not layers:  # a scene has a layer, if only to say nothing
        layers.append(Layer(name="nothing", box=(0.0, 0.0, 1.0, 1.0)))
    return tuple(layers), files


def _suite(name: str, summary: str, write: Painted) -> Suite:
    return Suite(
        name=name,
        summary=summary,
        start=_START,
        choose=said.grouped,
        write=write,
        scorers=(
            scorers.features,
            fidelity.semantics,
            scorers.depth,
            fidelity.normals,
            fidelity.edges,
            scorers.similarity,
        ),
        primary="fid@tiny-v1",
        n=1024,
        quick=8,
        rivals=METHODS,
    )


DENSE = _suite("tlam-dense", "pictures of five dense labels", Painted())
SPARSE = _suite("tlam-sparse", "the same, half of the labels missing by area", Painted(0.5))
SPARSE_10 = _suite("tlam-sparse-10", "a tenth of the labels missing by area", Painted(0.1))
SPARSE_30 = _suite("tlam-sparse-30", "three tenths of the labels missing", Painted(0.3))
SPARSE_70 = _suite("tlam-sparse-70", "seven tenths of the labels missing", Painted(0.7))

WITHOUT: dict[str, Suite] = {
    name: _suite(f"tlam-without-{name}", f"four dense labels, no {name}", Painted(without=(name,)))
    for name in PRIMITIVES.names
}
NO_SEMANTICS, NO_DEPTH = WITHOUT["semantics"], WITHOUT["depth"]
NO_NORMALS, NO_CURVATURE = WITHOUT["normals"], WITHOUT["curvature"]
NO_EDGES = WITHOUT["edges"]
