"""LPIPS, the learned perceptual distance of Zhang et al. (2018).

Each map of a trunk is normalised to unit length over its channels; squared differences are
weighted by a head, summed over channels, averaged over the picture and added up over the maps
(their equation 1). The trunk and the heads are given: the published ones from
`compose_metrics.reference.lpips_trunk`, or those of a small network under another name.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol, final

import torch
from torch import Tensor

from compose_core.errors import ShapeError, WeightsError
from compose_metrics.metric import Keys, PerSample
from compose_metrics.pictures import checked, sizes, taken
from compose_metrics.result import JSON, Source

EPSILON = 1e-10
"""Added to the length of a feature before dividing, as in the published code."""


class Trunk(Protocol):
    """A network that gives several maps of a picture.

    Attributes:
        source: What names the network.
        channels: Width of each map.
    """

    @property
    def source(self) -> Source:
        """What names the network."""
        ...

    @property
    def channels(self) -> Sequence[int]:
        """Width of each map."""
        ...

    def __call__(self, pictures: Tensor) -> Sequence[Tensor]:
        """Maps (B, C_k, H_k, W_k) of pictures (B, 3, H, W) in [-1, 1]."""
        ...


def perceptual_distance(
    a: Tensor, b: Tensor, trunk: Trunk, heads: Sequence[Tensor] | None = None
) -> Tensor:
    """Distances (B,) of pictures (B, 3, H, W) in [-1, 1]; 0 for equal pictures.

    Args:
        a: Pictures.
        b: The ones to compare with.
        trunk: Gives the maps.
        heads: One weight per channel and map; ``None`` weights every channel with 1.

    Raises:
        ShapeError: Different shapes, or values outside [-1, 1] on either side.
    """
    a, b = checked(a), checked(b, "the reference pictures")
    if a.shape != b.shape:
        raise ShapeError("pictures cannot be compared", got=(tuple(a.shape), tuple(b.shape)))
    shares: list[Tensor] = []
    for k, (x, y) in enumerate(zip(trunk(a), trunk(b), strict=True)):
        difference = (_unit(x) - _unit(y)) ** 2
        if heads is not None:
            difference = difference * heads[k].to(x).view(1, -1, 1, 1)
        shares.append(difference.sum(1).mean((1, 2)))
    return torch.stack(shares).sum(0)


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True).sqrt() + EPSILON)


def check_heads(heads: Sequence[Tensor], trunk: Trunk) -> None:
    """Refuse heads of another trunk.

    Raises:
        WeightsError: Their number or widths differ from the trunk's maps.
    """
    widths = [head.numel() for head in heads]
    if widths != list(trunk.channels):
        raise WeightsError(
            "the heads do not fit the trunk", got=widths, expected=list(trunk.channels)
        )


@final
class LPIPS(PerSample):
    """Mean perceptual distance of pictures and their references; 0 is equal.

    Its id names the trunk: ``lpips@alex``, ``lpips@vgg``, or ``lpips@<name>`` of a small one.

    Args:
        trunk: Gives the maps.
        heads: One weight per channel and map. ``None`` weights every channel with 1, for trunks
            that nobody calibrated; with a published trunk that is called ``lpips-uniform``.

    Raises:
        WeightsError: The heads do not fit the trunk.
    """

    version = 2
    higher_is_better = False

    def __init__(self, trunk: Trunk, heads: Sequence[Tensor] | None) -> None:
        super().__init__()
        if heads is not None:
            check_heads(heads, trunk)
        self.trunk = trunk
        self.heads = None if heads is None else tuple(heads)
        plain = heads is None and trunk.source.reference
        self.id = trunk.source.metric("lpips-uniform" if plain else "lpips")

    @torch.no_grad()
    def update(self, pictures: Tensor, reference: Tensor, *, keys: Keys = None) -> None:
        """Take pairs of pictures (B, 3, H, W), float in [-1, 1] or uint8."""
        a, b = taken(pictures), taken(reference, "the reference pictures")
        distance = perceptual_distance(a, b, self.trunk, self.heads)
        self.add(keys, value=distance.double(), size=sizes(a))

    def params(self) -> dict[str, JSON]:
        """The version and the heads, by the sha256 of their float32 values."""
        if self.heads is None:
            return {"heads": "uniform"}
        digest = sha256()
        for head in self.heads:
            digest.update(head.detach().float().cpu().contiguous().numpy().tobytes())
        return {"heads": digest.hexdigest()}

    def extractor_source(self) -> Source:
        """The trunk."""
        return self.trunk.source
