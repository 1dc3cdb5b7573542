"""Scenes whose layers say where things are by keypoints, or by the pixels that they have.

ControlNets follow them: see `compose_core.controls`. Keypoints are those of solids that
`controlnet-tiny-keypoints` was trained on; a mask is what is seen of an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import torch
from torch import Tensor

from compose_benchmarks import scorers
from compose_benchmarks.items import Item
from compose_benchmarks.suite import Source, Suite, boxes
from compose_benchmarks.suites import quality
from compose_benchmarks.suites.files import Files

__all__ = ["KEYPOINTS", "SEGMENTS", "Guided", "outermost"]


def outermost(mask: Tensor) -> dict[str, tuple[float, float]]:
    """Keypoints of what is seen of a solid, as x and y in fractions of the picture.

    Args:
        mask: (H, W) bool, its pixels, at least one.

    Returns:
        Its centre, and its outermost points; where several pixels reach as far, their mean.
    """
    height, width = mask.shape
    y, x = mask.nonzero(as_tuple=True)
    chosen = {
        "centre": torch.ones_like(x, dtype=torch.bool),
        "left": x == x.min(),
        "right": x == x.max(),
        "top": y == y.min(),
        "bottom": y == y.max(),
    }
    return {
        name: (
            round((float(x[of].double().mean()) + 0.5) / width, 6),
            round((float(y[of].double().mean()) + 0.5) / height, 6),
        )
        for name, of in chosen.items()
    }


@final
@dataclass(frozen=True)
class Guided:
    """Writes items whose layers have a phrase and a file.

    Attributes:
        by: What the files hold.
    """

    by: Literal["keypoints", "mask"]

    def __call__(self, number: int, source: Source) -> Sequence[Item]:
        """One item."""
        (made,) = boxes(number, source)
        files = Files()
        layers: list[Any] = []
        for layer, solid, mask in zip(
            made.scene.layers[1:], made.drawn.solids, source.seen.visible[0], strict=True
        ):
            file = files.mask(mask) if self.by == "mask" else files.points(outermost(mask))
            words = {"prompt": f"{solid.color} {solid.shape}", "box": None, self.by: file}
            layers.append(layer.model_copy(update=words))
        scene = made.scene.model_copy(update={"layers": tuple(layers)})
        return (replace(made, scene=scene.with_assets(files.assets())),)


def _suite(name: str, by: Literal["keypoints", "mask"], start: int) -> Suite:
    return replace(
        quality.SUITE,
        name=name,
        summary=f"objects where {'keypoints' if by == 'keypoints' else 'segments'} place them",
        start=start,
        write=Guided(by),
        scorers=(
            scorers.placed,
            scorers.objects,
            scorers.clip,
            scorers.features,
            scorers.clarity,
        ),
        primary="placed@tiny-v1",
        n=512,
    )


KEYPOINTS = _suite("realcompo-keypoints", "keypoints", 37_000_000)
SEGMENTS = _suite("realcompo-segments", "mask", 39_000_000)
