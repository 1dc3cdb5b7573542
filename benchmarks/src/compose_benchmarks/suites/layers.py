"""Drawn scenes written out in two layers, as Compose and Conquer is trained on them.

The foreground is some of the nearest objects, the background the same scene without them; see
`compose_worlds.primitives.apart`. The background has the whole canvas; depth of the foreground is
that of the whole scene, of which its mask says what counts, and so is its exemplar. A background
that has nothing to say, as the edges of a bare lawn, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from torch import Tensor

from compose_benchmarks.items import SIDE, Item
from compose_benchmarks.suite import Source
from compose_benchmarks.suites.files import Files
from compose_core.scene import Layer, Scene
from compose_worlds.primitives.apart import Apart, front, take_apart
from compose_worlds.primitives.canny import canny, foreground
from compose_worlds.primitives.captions import phrase
from compose_worlds.primitives.labels import relative_depth
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import stack

__all__ = ["Layers"]


@final
@dataclass(frozen=True)
class Layers:
    """Writes items of two layers.

    Attributes:
        maps: What stands in the layers' depth files; `"edges"` are Canny's.
        looks: Whether layers have exemplars.
    """

    maps: Literal["depth", "edges"] | None = None
    looks: bool = False

    def __call__(self, number: int, source: Source) -> Sequence[Item]:
        """One item; none where the foreground's map would be empty."""
        size, said, drawn = (SIDE, SIDE), source.promise, source.drawn
        parts = take_apart([drawn], [front(drawn, source.number)], size)
        whole = picture(stack([drawn]), size) if self.looks or self.maps == "edges" else None
        shown = self._maps(parts, whole)
        empty = [float(x.max()) == float(x.min()) for x in shown]
        if any(empty[1:]):
            return ()
        files = Files()
        given: list[dict[str, Any]] = [{}, {"mask": files.mask(parts.mask[0])}]
        for layer, values, bare in zip(given, shown, empty, strict=False):  # without maps, none
            layer |= {} if bare else {"depth": files.depth(values)}
        if self.looks and whole is not None:
            for layer, values in zip(given, (parts.background[0], whole[0]), strict=True):
                layer["exemplar"] = files.picture(values)
        behind = [Layer(name="background", z=0.0, **given[0])] if given[0] else []
        layers = (*behind, Layer(name="foreground", z=1.0, **given[1]))
        caption = phrase(said.claims, said.relation, drawn.setting.environment)
        scene = Scene(
            canvas=size, prompt=caption.text, negative="", seed=source.number, layers=layers
        )
        made = Item(
            number=number,
            source=source.number,
            scene=scene.with_assets(files.assets()),
            caption=caption,
            drawn=drawn,
            objects=said.objects,
        )
        return (made,)

    def _maps(self, parts: Apart, whole: Tensor | None) -> list[Tensor]:
        """Of the background and of the foreground, (H, W) each in [0, 1]."""
        if self.maps == "depth":
            return [relative_depth(x[:, None])[0, 0] for x in (parts.behind, parts.whole)]
        if self.maps == "edges" and whole is not None:
            ahead = foreground(_as_saved(whole), parts.mask)
            return [canny(x)[0].float() for x in (_as_saved(parts.background), ahead)]
        return []


def _as_saved(pictures: Tensor) -> Tensor:
    """Rounded to 8 bit, as the pictures that edges were learned on."""
    return (pictures * 255).round() / 255
