"""Pictures of a tiny model for measuring it: each from a seed of its own, whatever the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from compose_core.backbones import Model
from compose_core.denoiser import Bound, Guided, Network
from compose_core.encoded import Encoded
from compose_core.sampler import DDIM

BATCH = 32


@torch.no_grad()
def pictures(
    base: Model,
    texts: Sequence[str],
    told: Mapping[str, Tensor] | None = None,
    silent: Mapping[str, Tensor] | None = None,
    *,
    network: Network | None = None,
    steps: int,
    guidance: float,
) -> Tensor:
    """A picture for each text, (N, 3, H, W) in [-1, 1]; picture i is drawn from seed i.

    Args:
        base: The text encoder, the schedule and the codec; its network, if none is given.
        texts: N captions.
        told: What the network hears beside them, N rows each.
        silent: What the side of guidance without a caption hears instead; the same, if not given.
        network: Another network for the base.
        steps: Of DDIM.
        guidance: Its scale.
    """
    walk = DDIM(base.schedule.levels(steps))
    heard = [told or {}, (told or {}) if silent is None else silent]
    made: list[Tensor] = []
    for start in range(0, len(texts), BATCH):
        some = list(texts[start : start + BATCH])
        cond, uncond = (
            Bound(
                network or base.network,
                Encoded({**base.text.encode(said), **_rows(extra, start, len(some))}),
            )
            for said, extra in zip((some, [""] * len(some)), heard, strict=True)
        )
        dice = [torch.Generator().manual_seed(start + i) for i in range(len(some))]
        noise = walk.initial((len(some), base.channels, *base.sample_size), dice)
        x_t = walk.sample(Guided(cond, uncond, guidance), noise)
        made.append(base.codec.decode(x_t).clamp(-1, 1))
    return torch.cat(made)


def _rows(told: Mapping[str, Tensor], start: int, count: int) -> dict[str, Tensor]:
    return {name: value[start : start + count] for name, value in told.items()}
