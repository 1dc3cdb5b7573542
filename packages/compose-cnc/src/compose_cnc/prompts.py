"""Which text is heard where: the prompt of the scene, and those of layers in their regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from compose_core.images import Array, resize
from compose_core.regional import soften
from compose_core.scene import Scene, visible

__all__ = ["Said", "VISIBLE", "prompts"]

VISIBLE = 1e-3
"""Share below which a prompt has no say in a cell."""

_COVERED = 0.9
"""Share of a region from which on what covers it is its ground, not its rival."""


class Said(NamedTuple):
    """A prompt, what it is guided away from, and its share (h, w) of each latent cell.

    Attributes:
        prompt: What there should be.
        negative: What it should not become, throughout.
        rivals: The same and the prompts of other layers, for the first part of the steps.
        share: In [0, 1].
        layer: Whose it is; "" of the scene.
    """

    prompt: str
    negative: str
    rivals: str
    share: Tensor
    layer: str = ""


def prompts(
    scene: Scene,
    areas: Mapping[str, Array],
    spatial: tuple[int, int],
    *,
    apart: bool = True,
    blur: float = 0.5,
    base_share: float = 0.0,
) -> list[Said]:
    """The prompts of a scene, its own first; shares sum to 1 in each cell.

    Layers without a prompt or negative of their own leave their place to the scene's. Nearer
    layers cover farther ones. A weight shifts the balance where regions mix.

    Args:
        scene: The scene.
        areas: The regions of all layers (H, W) in [0, 1], hidden parts included.
        spatial: (h, w) of the latents.
        apart: Whether layers have rivals: the prompts of others, see `regional`.
        blur: Of the regions, in cells.
        base_share: How much of every region the scene's prompt keeps.
    """
    cells = {name: soften(torch.tensor(resize(x, *spatial)), blur) for name, x in areas.items()}
    seen = visible({name: cells[name].numpy() for name in (x.name for x in scene.ordered)})
    said: list[Said] = []
    for layer in scene.ordered:
        if layer.prompt is None and layer.negative is None:
            continue
        share = (1 - base_share) * layer.weight * torch.tensor(np.asarray(seen[layer.name]))
        rivals = _rivals(scene, layer.name, cells) if apart and layer.negative is None else []
        inherited = scene.negative if layer.negative is None else layer.negative
        away = " and ".join(dict.fromkeys(x for x in (inherited, *rivals) if x))
        said.append(Said(layer.prompt or scene.prompt, inherited, away, share, layer.name))
    taken = torch.zeros(spatial)
    for layer in scene.ordered:
        if layer.prompt is not None or layer.negative is not None:
            taken = taken + torch.tensor(np.asarray(seen[layer.name]))
    base = (1 - taken).clamp_min(0) + base_share * taken
    base = base.clamp_min(1e-4)  # where all weights are tiny the scene's prompt takes over
    total = sum((x.share for x in said), base)
    shared = [Said(scene.prompt, scene.negative, scene.negative, base), *said]
    return [x._replace(share=x.share / total) for x in shared]


def _rivals(scene: Scene, name: str, cells: Mapping[str, Tensor]) -> list[str]:
    """Prompts of the layers that neither cover this one's region nor are covered by it."""
    own = cells[name]
    mine = next(x.prompt for x in scene.layers if x.name == name)
    return [
        other.prompt
        for other in scene.ordered
        if other.prompt
        and other.prompt != mine
        and float((own * cells[other.name]).sum())
        < _COVERED * min(float(own.sum()), float(cells[other.name].sum()))
    ]
