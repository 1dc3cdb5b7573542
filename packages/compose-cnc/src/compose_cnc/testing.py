"""Small random parts that behave like trained ones, for tests: what they are given matters."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from torch import Tensor, nn

from compose_cnc.exemplars import ExemplarEncoder, Preprocess
from compose_cnc.folder import Adapter, save_adapter
from compose_cnc.model import GlobalFuser, LocalFuser, Sizes

__all__ = ["EMBEDDING", "SIZES", "TOKENS", "awake", "draw", "tiny_adapter", "tiny_encoder"]

SIZES = Sizes((8, 8), (1, 2), (8, 16))
"""Depth streams for `compose_core.testing.folders.tiny_stable_diffusion`."""

EMBEDDING, TOKENS = 12, 2
"""Width of an exemplar's embedding, and tokens for each."""


def draw(*shape: int, seed: int = 0, uniform: bool = False) -> Tensor:
    """Random numbers of a seed: normal, or uniform in [0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    make = torch.rand if uniform else torch.randn
    return make(*shape, generator=generator)


def awake(fuser: LocalFuser, seed: int = 0) -> LocalFuser:
    """The same fuser, its zero convolutions filled."""
    generator = torch.Generator().manual_seed(seed)
    roots = [fuser.streams.zero, fuser.controlnet_down_blocks, fuser.controlnet_mid_block]
    for conv in (m for root in roots for m in root.modules() if isinstance(m, nn.Conv2d)):
        scale = conv.weight[0].numel() ** -0.5
        nn.init.normal_(conv.weight, 0.0, scale, generator=generator)
        if conv.bias is not None:
            nn.init.normal_(conv.bias, 0.0, scale, generator=generator)
    return fuser


def tiny_encoder(seed: int = 0) -> ExemplarEncoder:
    """A CLIP vision model for pictures of 16 x 16."""
    config = transformers.CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        projection_dim=EMBEDDING,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
    )
    with torch.random.fork_rng(devices=[]):
        network = transformers.CLIPVisionModelWithProjection(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, weight[0].numel() ** -0.5, generator=generator)
    half = (0.5, 0.5, 0.5)
    return ExemplarEncoder(network, Preprocess(16, 16, half, half))


def tiny_adapter(folder: str | Path, unet: nn.Module, seed: int = 0) -> Path:
    """Write an adapter for `unet`, that of `tiny_stable_diffusion`; returns the folder."""
    local = awake(LocalFuser.from_unet(unet, SIZES), seed)
    width = local.config["cross_attention_dim"]
    generator = torch.Generator().manual_seed(seed)
    tokens = GlobalFuser.fresh(EMBEDDING, width, TOKENS, generator)
    adapter = Adapter(local_fuser=local, global_fuser=tokens, exemplars=tiny_encoder(seed))
    return save_adapter(folder, adapter)
