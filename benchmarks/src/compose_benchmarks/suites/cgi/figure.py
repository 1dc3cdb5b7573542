"""A figure of two parts, led by keypoints: what stands on top is a detail under words of its own.

The models of this repository know no faces and no people. A figure is what they do know: one solid
on another, "a red sphere on a blue cylinder". Its head is the solid on top, which a crop half as
wide as the picture is asked for by name, as the paper's crop is asked for a face. Success is that
the judge sees the head where its keypoints are, in the colour and shape that were asked for; what
the crop adds is seen against the same figure without it, `whole-alone`.

The whole is as large as the model was trained for, and the crop half as wide, as in the paper: on
larger canvases the ControlNet is followed no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from compose_benchmarks import scorers
from compose_benchmarks.items import Item
from compose_benchmarks.suite import Promise, Source, Suite, boxes
from compose_benchmarks.suites import said
from compose_benchmarks.suites.cgi import figure_seen
from compose_benchmarks.suites.files import Files
from compose_benchmarks.suites.guided import outermost
from compose_core.scene import Scene
from compose_worlds.primitives.captions import Claim
from compose_worlds.primitives.draw import Taste
from compose_worlds.primitives.world import Scene as Drawn

__all__ = ["SUITE", "TRUST", "choose", "write"]

TRUST = 0.3
"""Weight of the crop against the whole; chosen on eight scenes of no suite, of 0.3 and 1."""


def choose(source: int, drawn: Drawn, claims: tuple[Claim, ...]) -> Promise | None:
    """Stacks of two solids that differ in shape and colour; the one on top comes first."""
    if len(claims) != 2 or not said.unlike(claims):
        return None
    return said.pair(source, drawn, claims, ("on",))


def write(number: int, source: Source) -> Sequence[Item]:
    """One figure: keypoints of both solids, and words for the head alone."""
    (made,) = boxes(number, source)
    files = Files()
    layers: list[Any] = []
    for index, layer in enumerate(made.scene.layers[1:]):
        points = files.points(outermost(source.seen.visible[0, index]))
        head = made.objects[index] == 0
        words = layer.prompt if head else None
        layers.append(
            layer.model_copy(
                update={
                    "name": "head" if head else "body",
                    "prompt": words,
                    "box": None,
                    "keypoints": points,
                    "z": float(head),
                    "weight": TRUST if head else 1.0,
                }
            )
        )
    scene: Scene = made.scene.model_copy(update={"layers": tuple(layers)})
    return (replace(made, scene=scene.with_assets(files.assets())),)


SUITE = Suite(
    name="cgi-figure",
    summary="one solid on another where keypoints say, the upper one a detail with its own words",
    start=45_000_000,
    taste=Taste(counts=(0.0, 1.0, 0.0, 0.0), stacked=1.0, equal=0.0),
    choose=choose,
    write=write,
    scorers=(
        figure_seen.parts,
        scorers.objects,
        scorers.relation,
        scorers.clip,
        scorers.features,
    ),
    primary="head@tiny-v1",
    rivals=("multidiffusion", "whole-alone", "cgi-kappa-50", "cgi-kappa-70", "cgi-kappa-85"),
)
