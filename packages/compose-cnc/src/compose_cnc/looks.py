"""From the exemplars of a scene to tokens, and where each is heard.

Every layer has a region, whether it has an exemplar or not: one without hides what is behind it,
and hears the tokens of a missing exemplar there, as in training. What no layer covers belongs to
the background.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from compose_cnc.exemplars import ExemplarEncoder, as_picture
from compose_cnc.model import Stream
from compose_cnc.network import CnCNetwork
from compose_cnc.streams import bounded
from compose_core.errors import SceneError, UsageError
from compose_core.images import Array
from compose_core.scene import Scene

__all__ = ["Looks", "check_exemplars", "take_looks"]


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What `CnCNetwork` hears of exemplars.

    Attributes:
        tokens: (1, K N, D), the layer in front first, times lambda.
        without: The same for missing exemplars, (1, K N, D).
        region: (1, K, H, W) in [0, 1], hidden parts included.
    """

    tokens: Tensor
    without: Tensor
    region: Tensor


def check_exemplars(scene: Scene) -> None:
    """Refuse an exemplar that has no place.

    Raises:
        SceneError: A layer other than the farthest has an exemplar, but no mask, box or proxy.
    """
    for layer in scene.ordered[1:]:
        if layer.exemplar is not None and not bounded(layer):
            raise SceneError(
                f"the exemplar of layer {layer.name!r} has no region",
                got="a layer over the whole canvas, before others",
                expected="a mask, box or proxy; only the farthest layer may have all that is left",
                remedy="say where it is, or give the layer the smallest z",
            )


def take_looks(
    scene: Scene,
    pictures: Mapping[str, Array],
    areas: Mapping[str, Array],
    side: Mapping[str, Stream],
    network: CnCNetwork,
    encoder: ExemplarEncoder | None,
    *,
    lambdas: Mapping[str, float],
    device: torch.device | str,
) -> Looks:
    """Tokens and regions of a scene.

    Args:
        scene: The scene.
        pictures: Exemplars of layers, (H, W, 3) in [0, 1], of any size.
        areas: The regions of all layers (H, W) in [0, 1], hidden parts included.
        side: The stream of each layer, whose weights make its tokens.
        network: Makes tokens of embeddings.
        encoder: Makes embeddings of pictures; not needed where there are none.
        lambdas: Factors on tokens, by layer; they multiply the weight of the layer.
        device: Where tensors go.

    Raises:
        UsageError: The network has no global fuser, or there is no encoder for the exemplars.
    """
    layers = scene.ordered[::-1]
    names = [layer.name for layer in layers if layer.name in pictures]
    if names and encoder is None:
        raise UsageError("there is no picture encoder to see exemplars", got=", ".join(names))
    of: dict[str, Tensor] = {}
    for name in names:  # each alone: the others must not change its bits
        of[name] = cast(ExemplarEncoder, encoder).encode(as_picture(pictures[name])).to(device)
    null = _nulls(network)
    heard: list[Tensor] = []
    without: list[Tensor] = []
    for layer in layers:
        stream = side[layer.name]
        factor = lambdas.get(layer.name, 1.0) * layer.weight
        own = layer.name in of
        heard.append(network.tokens(of[layer.name], stream, factor) if own else null[stream])
        without.append(null[stream])
    regions = [torch.tensor(np.asarray(areas[layer.name])) for layer in layers]
    if not regions or not bool((regions[-1] == 1).all()):
        heard.append(null["bg"])
        without.append(null["bg"])
        regions.append(torch.ones(scene.height, scene.width))
    return Looks(
        tokens=torch.cat(heard, 1),
        without=torch.cat(without, 1),
        region=torch.stack(regions)[None].to(device),
    )


def _nulls(network: CnCNetwork) -> dict[Stream, Tensor]:
    """Tokens (1, N, D) of missing exemplars."""
    fuser = network.global_fuser
    if fuser is None:
        raise UsageError("this network has no global fuser to make tokens")
    return {"fg": fuser.null("fg"), "bg": fuser.null("bg")}
