"""Tiny models with known answers, for tests of this package and of what builds on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from compose_core.attention import record
from compose_core.backbones import Model, load_model
from compose_core.denoiser import Bound, Denoiser, Guided
from compose_core.encoded import Encoded
from compose_core.schedule import Level
from compose_realcompo.balancer import Branch
from compose_realcompo.gated import gated_unet, new_tensors
from compose_realcompo.hearing import ears
from compose_realcompo.lookahead import Listener

__all__ = ["branches", "left_and_right", "listener", "losses", "tiny_gated"]


def tiny_gated(folder: Path, base: Path, seed: int = 0, gate: float = 0.3) -> Path:
    """Write an adapter of gated layers for a folder of the Stable Diffusion layout.

    Args:
        folder: Where it goes.
        base: The model that it is added to.
        seed: Of its weights.
        gate: What the gates are set to, before their tanh.
    """
    unet: Any = gated_unet(load_model(base).components["unet"])
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, value in new_tensors(unet).items():
        drawn = torch.randn(value.shape, generator=generator) * 0.2
        tensors[name] = torch.full(value.shape, gate) if "alpha" in name else drawn
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "gligen.safetensors")
    index = {"format": 1, "base": "", "attention_type": "gated"}
    (folder / "gligen.json").write_text(json.dumps(index), "utf-8")
    return folder


def left_and_right(size: int = 16) -> Tensor:
    """Masks (2, size, size): the left half, and a part of the right one."""
    masks = torch.zeros(2, size, size)
    masks[0, :, : size // 2] = 1
    masks[1, 2:9, size // 2 :] = 1
    return masks


def listener(
    network: Any,
    text: Encoded,
    *,
    masks: Tensor | None = None,
    factor: int = 1,
    spans: tuple[tuple[int, ...], ...] = ((2, 3), (5,)),
    **more: Any,
) -> Listener:
    """One that hears two phrases in a network of one UNet."""
    heard = ears(network.unet, factor)
    masks = left_and_right(16 // factor) if masks is None else masks
    return Listener(network, text, network.unet, heard.where, spans, masks, **more)


def branches(
    models: Sequence[Model],
    *,
    scale: float = 1.0,
    networks: Sequence[Any] | None = None,
    **more: Any,
) -> list[Branch]:
    """One branch of each model, all told the same; `more` goes to `listener`."""
    made: list[Branch] = []
    for k, model in enumerate(models):
        network: Any = model.network if networks is None else networks[k]
        dtype = next(network.parameters()).dtype
        text, empty = (model.text.encode(x).to(dtype=dtype) for x in ("a red cube, a cone", ""))
        cond = Bound(network, text)
        denoiser: Denoiser = cond if scale == 1 else Guided(cond, Bound(network, empty), scale)
        made.append(Branch(str(k), denoiser, listener(network, text, **more)))
    return made


def losses(listeners: Sequence[Listener], x: Tensor, level: Level) -> Tensor:
    """Eq. 6 (B,) as it is written, over all branches and regions, in one graph."""
    total = x.new_zeros(len(x))
    for one in listeners:
        with record(one.unet, one.where, grad=True) as maps:
            one.network(x, level, one.encoded)
        spatial = (x.shape[-2], x.shape[-1])
        seen = torch.stack([maps.grid(name, spatial).mean(1) for name in maps]).mean(0)
        for mask, span in zip(one.masks.to(x), one.spans, strict=True):
            attention = seen[..., list(span)].mean(-1)
            total = total + 1 - (attention * mask).sum((1, 2)) / attention.sum((1, 2))
    return total
