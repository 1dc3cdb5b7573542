"""Pictures edited through their labels (section 4.6 of TLAM): a solid put in, or taken out.

The labels of a drawn scene are edited as `compose tlam edit` does it: an inserted solid is
compared with them in depth, and where one goes the labels around it go on. The edited solid is
the last of the scene; the judge looks at what the painter made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from compose_benchmarks import edits, scorers
from compose_benchmarks.items import SIDE, Item, item, look
from compose_benchmarks.suite import Promise, Scorer, Source, Suite
from compose_benchmarks.suites import said
from compose_benchmarks.suites.painted import METHODS, labels_of, layered
from compose_core.scene import Camera, Layer, Proxy, Scene
from compose_tlam.edit import insert, remove
from compose_tlam.stack import LabelStack
from compose_worlds.primitives.captions import Claim
from compose_worlds.primitives.world import TOY, Setting, Solid, rest_height
from compose_worlds.primitives.world import Scene as Drawn

__all__ = ["INSERTED", "REMOVED"]


def several(source: int, drawn: Drawn, claims: tuple[Claim, ...]) -> Promise | None:
    """Scenes of two or more solids: one is edited, the others should stay."""
    return said.each(source, drawn, claims) if len(drawn.solids) > 1 else None


def _inserted(number: int, source: Source) -> Sequence[Item]:
    """The scene without its last solid, into which that solid is put."""
    bare, solid = _bare(source.drawn), source.drawn.solids[-1]
    seen = look(bare)
    inverse = seen.inverse_depth
    labels, _ = insert(
        labels_of(bare, seen),
        _blocked_out(solid, source.drawn.setting),
        (float(inverse.min()), float(inverse.max())),
    )
    said = source.promise
    whole = item(number, source.number, source.drawn, said.objects, said.claims, seen=source.seen)
    return (_of_labels(whole, labels),)


def _removed(number: int, source: Source) -> Sequence[Item]:
    """The scene from which its last solid is taken."""
    bare = _bare(source.drawn)
    gone = source.seen.visible[0, -1]
    labels = remove(labels_of(source.drawn, source.seen), gone)
    rest = source.promise.claims[:-1]
    made = item(number, source.number, bare, range(len(rest)), rest)
    return (_of_labels(made, labels),)


def _bare(drawn: Drawn) -> Drawn:
    return replace(drawn, solids=drawn.solids[:-1])


def _of_labels(made: Item, labels: LabelStack) -> Item:
    layers, files = layered(labels)
    scene = made.scene.model_copy(update={"layers": layers})
    return replace(made, scene=scene.with_assets(files.assets()))


def _blocked_out(solid: Solid, setting: Setting) -> Scene:
    """A scene with a proxy in place of a solid, from where the solid is seen."""
    scale, _ = TOY.get(solid.shape, (1.0, 1.0))
    proxy = Proxy(
        shape=solid.shape,
        position=solid.position,
        size=solid.size / scale * rest_height(solid.shape, 1.0),
        rotation=solid.yaw,
    )
    return Scene(
        canvas=(SIDE, SIDE),
        prompt=solid.shape,
        camera=Camera(height=setting.height, pitch=setting.pitch, fov=setting.fov),
        layers=(Layer(name="new", proxy=proxy),),
    )


def _suite(
    name: str,
    summary: str,
    start: int,
    write: Callable[[int, Source], Sequence[Item]],
    success: Scorer,
) -> Suite:
    return Suite(
        name=name,
        summary=summary,
        start=start,
        choose=several,
        write=write,
        scorers=(success, edits.others, scorers.features),
        primary="edited@tiny-v1",
        n=1024,
        quick=8,
        rivals=METHODS,
    )


INSERTED = _suite(
    "tlam-insert",
    "a solid put into a picture through its labels",
    62_000_000,
    _inserted,
    edits.inserted,
)
REMOVED = _suite(
    "tlam-remove",
    "a solid taken out of a picture through its labels",
    63_000_000,
    _removed,
    edits.removed,
)
