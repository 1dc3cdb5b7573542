"""The stages that `cnc-tiny` and its relatives are trained in, on the frozen `sd-tiny`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import nn

from compose_cnc.attention import SoftGuidance
from compose_cnc.folder import Adapter, save_adapter
from compose_cnc.model import TINY, GlobalFuser, LocalFuser
from compose_cnc.network import CnCNetwork
from compose_cnc.training import DisentanglementTask, Dropout, Samples, Stage
from compose_core.schedule import DiscreteVP
from compose_zoo.recipes import cnc_exemplars, guide, noising, stages

CONFIG = {
    "local": replace(guide.CONFIG, seed=6),
    "global": replace(guide.CONFIG, seed=7),
    "joint": replace(guide.CONFIG, steps=300, lr=3e-4, warmup=50, seed=8),
}
"""The local stage sees as many samples as `controlnet-tiny-depth`."""
DROPOUT = Dropout(text=guide.WORDLESS)
"""As often wordless as `controlnet-tiny-depth`; the others as in the published code."""
TOKENS = 4


def run(
    base: StableDiffusionPipeline,
    samples: Samples | Mapping[Stage, Samples],
    folder: Path,
    order: tuple[Stage, ...] = ("local", "global", "joint"),
    *,
    embedding_dim: int = 128,
    soft_guidance: SoftGuidance = "mask",
    one_stream: bool = False,
    device: str = "cpu",
    resume: bool = True,
    steps: int | None = None,
) -> CnCNetwork:
    """Train fusers stage by stage; each starts from the averaged weights of those before.

    Args:
        base: `sd-tiny` in single precision.
        samples: What to train with, or what for each stage.
        folder: Holds a folder for each stage.
        order: The stages.
        embedding_dim: Width of an exemplar's embedding.
        soft_guidance: That of the trained network.
        one_stream: Leave the background's stream and tokens at zero, for one map of the scene.
        device: See `stages.run`.
        resume: See `stages.run`.
        steps: See `stages.run`.
    """
    with_local, with_tokens = "local" in order, "global" in order
    width = base.unet.config["cross_attention_dim"]
    base.unet.set_attn_processor(AttnProcessor())
    network = CnCNetwork(
        base.unet,
        DiscreteVP.from_config(base.scheduler.config),
        "epsilon",
        local_fuser=LocalFuser.from_unet(base.unet, TINY) if with_local else None,
        global_fuser=GlobalFuser.fresh(embedding_dim, width, TOKENS) if with_tokens else None,
        soft_guidance=soft_guidance,
    )
    _explicit(network)
    empty = torch.tensor(base.tokenizer("", padding="max_length").input_ids)
    for stage in order:
        task = DisentanglementTask(
            network,
            base.text_encoder,
            empty,
            samples[stage] if isinstance(samples, Mapping) else samples,
            stage,
            dropout=DROPOUT,
            snr_cap=noising.SNR_CAP,
        )
        if one_stream:
            silence(network)
        options = {"device": device, "resume": resume, "steps": steps}
        stages.run(task, CONFIG[stage], folder / stage, **options)
    return network.to("cpu")


def silence(network: CnCNetwork) -> None:
    """Zeros, and no training, for what only a background would need."""
    idle: list[nn.Module] = []
    if network.local_fuser is not None:
        idle.append(network.local_fuser.streams.bg)
    if network.global_fuser is not None:
        idle.append(network.global_fuser.bg)
    for parameter in (p for module in idle for p in module.parameters()):
        nn.init.zeros_(parameter).requires_grad_(False)


def export(network: CnCNetwork, runs: Path, folder: Path) -> Path:
    """Write the adapter in half precision: fusers, and the picture tower where it is needed."""
    local, tokens = network.local_fuser, network.global_fuser
    exemplars = None
    if tokens is not None:
        exemplars = cnc_exemplars.encoder(cnc_exemplars.folder_of(runs)).half()
    return save_adapter(
        folder,
        Adapter(
            local_fuser=None if local is None else cast(LocalFuser, local.half()),
            global_fuser=None if tokens is None else cast(GlobalFuser, tokens.half()),
            exemplars=exemplars,
            base="sd-tiny",
        ),
    )


def _explicit(network: nn.Module) -> None:
    """The explicit softmax, which trains faster than the fused one on a CPU."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())
