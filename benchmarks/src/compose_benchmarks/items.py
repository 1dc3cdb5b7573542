"""Items: scenes of the primitives world written out as scene documents, with what they promise.

An item is what a method is asked to draw and what its picture is judged by. Boxes and the order
in depth come from the exact labels of the rendered scene, phrases from its claims. The first
layer is the place itself, behind everything, so that a method that reads layers knows where the
objects stand; one that reads only the scene's prompt is told all of it in words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from compose_core.scene import Layer, Scene
from compose_worlds.primitives.captions import Caption, Claim, Relation, phrase
from compose_worlds.primitives.environments import ENVIRONMENTS
from compose_worlds.primitives.labels import Labels, labels
from compose_worlds.primitives.world import Scene as Drawn
from compose_worlds.primitives.world import stack

__all__ = ["EXTENT", "GROUND", "SIDE", "VISIBLE", "Item", "digest", "document", "item", "look"]

SIDE = 64
"""Width and height of the pictures of the tiny suites, in pixels."""

VISIBLE = 80
"""Least visible pixels of an object that a picture is judged by, at 64 x 64."""

EXTENT = 12 / SIDE
"""Least width and height of a box: three cells of the latents of sd-tiny."""

GROUND: dict[str, str] = {
    "grass": "empty grass",
    "sand": "empty sand",
    "snow": "empty snow",
    "room": "an empty room",
    "dusk": "an empty floor at dusk",
}
"""What the background layer says of each place."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture to make.

    Attributes:
        number: Place in its suite, from 0.
        source: Number of the scene in the world; also the seed of its noise.
        scene: The document that methods receive.
        caption: What the picture has to keep: objects and relations.
        drawn: The scene as the world draws it, solids in the order of `objects`.
        objects: For each solid, the claim that it belongs to.
    """

    number: int
    source: int
    scene: Scene
    caption: Caption
    drawn: Drawn
    objects: tuple[int, ...]

    @property
    def seed(self) -> int:
        """Seed of the noise."""
        return self.scene.seed

    def to_json(self) -> dict[str, Any]:
        """All that can be looked at: layout, seed, prompts, negative prompts, promises."""
        claims = [
            {"shape": c.shape, "color": c.color, "count": c.count} for c in self.caption.claims
        ]
        relations = [[r.subject, r.name, r.other] for r in self.caption.relations]
        return {
            "number": self.number,
            "source": self.source,
            "scene": document(self.scene),
            "claims": claims,
            "relations": relations,
        }


def document(scene: Scene) -> dict[str, Any]:
    """A scene as its file would say it."""
    return {"version": scene.version, **scene.model_dump(mode="json", exclude_unset=True)}


def digest(items: Sequence[Item]) -> str:
    """sha256 of everything that items ask for."""
    text = json.dumps([one.to_json() for one in items], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def look(drawn: Drawn, side: int = SIDE) -> Labels:
    """The exact labels of one scene, in a batch of one."""
    return labels(stack([drawn]), (side, side))


def item(
    number: int,
    source: int,
    drawn: Drawn,
    objects: Sequence[int],
    claims: Sequence[Claim],
    relation: Relation | None = None,
    seen: Labels | None = None,
) -> Item:
    """Write a drawn scene out as an item.

    Args:
        number: Place in the suite.
        source: Number of the scene in the world.
        drawn: The scene.
        objects: For each solid, the claim that it belongs to.
        claims: What the caption names.
        relation: What it says of two of them.
        seen: The labels of `drawn`, if they are known.
    """
    seen = seen if seen is not None else look(drawn)
    place = drawn.setting.environment
    caption = phrase(claims, relation, place)
    layers = [Layer(name="place", prompt=GROUND[place], box=(0.0, 0.0, 1.0, 1.0), z=0.0)]
    rank = _ranks(seen)
    for index, (solid, box) in enumerate(zip(drawn.solids, seen.boxes[0].tolist(), strict=True)):
        claim = claims[objects[index]]
        words = Claim(solid.shape, str(solid.color), 1, claim.size).words()
        layers.append(
            Layer(
                name=f"{index + 1} {solid.color} {solid.shape}",
                prompt=f"{words} {ENVIRONMENTS[place].phrase}",
                box=(box[0], box[1], box[2], box[3]),
                z=float(rank[index] + 1),
            )
        )
    scene = Scene(
        canvas=(SIDE, SIDE),
        prompt=caption.text,
        negative="",
        seed=source,
        layers=tuple(layers),
    )
    return Item(
        number=number,
        source=source,
        scene=scene,
        caption=caption,
        drawn=drawn,
        objects=tuple(objects),
    )


def _ranks(seen: Labels) -> list[int]:
    """0 for the farthest object, counting up to the nearest."""
    nearest: Tensor = seen.object_depth[0].flatten(1).amin(1)
    order = nearest.argsort(descending=True).tolist()
    return [order.index(i) for i in range(len(order))]
