"""The complete key set of the published checkpoint at reduced width, written down independently.

The sizes follow latent diffusion's own module tree; nothing here uses the tables under test.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

WIDTHS, CONTEXT, VAE_WIDTHS, TIME = (32, 64, 96, 96), 16, (32, 64, 96, 96), 128
STREAM, FEATURES = (8, 16, 16, 16), (8, 16, 24, 32)
WORDS, EMBEDDING, TOKENS = 514, 24, 4

Shapes = dict[str, tuple[int, ...]]


def conv(name: str, out: int, into: int, kernel: int = 3) -> Shapes:
    return {f"{name}.weight": (out, into, kernel, kernel), f"{name}.bias": (out,)}


def linear(name: str, out: int, into: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (out, into)} | ({f"{name}.bias": (out,)} if bias else {})


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def resblock(name: str, into: int, out: int, feature: int | None = None) -> Shapes:
    found: Shapes = {}
    for side, width in (("in", into), ("out", out)):
        if feature is None:
            found |= norm(f"{name}.{side}_layers.0", width)
        else:
            for kind in ("gamma", "beta"):
                found |= conv(f"{name}.norm_{side}.conv_{kind}", width, feature)
    found |= conv(f"{name}.in_layers.2", out, into) | linear(f"{name}.emb_layers.1", out, TIME)
    found |= conv(f"{name}.out_layers.3", out, out)
    return found | (conv(f"{name}.skip_connection", out, into, 1) if into != out else {})


def transformer(name: str, width: int) -> Shapes:
    block = f"{name}.transformer_blocks.0"
    found = norm(f"{name}.norm", width) | conv(f"{name}.proj_in", width, width, 1)
    for attn, context in (("attn1", width), ("attn2", CONTEXT)):
        found |= linear(f"{block}.{attn}.to_q", width, width, bias=False)
        found |= linear(f"{block}.{attn}.to_k", width, context, bias=False)
        found |= linear(f"{block}.{attn}.to_v", width, context, bias=False)
        found |= linear(f"{block}.{attn}.to_out.0", width, width)
    found |= linear(f"{block}.ff.net.0.proj", 8 * width, width)
    found |= linear(f"{block}.ff.net.2", width, 4 * width)
    for i in (1, 2, 3):
        found |= norm(f"{block}.norm{i}", width)
    return found | conv(f"{name}.proj_out", width, width, 1)


def encoder(root: str, local: bool = False) -> tuple[Shapes, list[int]]:
    found = linear(f"{root}time_embed.0", TIME, WIDTHS[0]) | linear(
        f"{root}time_embed.2", TIME, TIME
    )
    found |= conv(f"{root}input_blocks.0.0", WIDTHS[0], 4)
    skips, number, now = [WIDTHS[0]], 1, WIDTHS[0]
    for level, width in enumerate(WIDTHS):
        for j in range(2):
            feature = FEATURES[level] if local and j == 0 else None
            found |= resblock(f"{root}input_blocks.{number}.0", now, width, feature)
            if level < 3:
                found |= transformer(f"{root}input_blocks.{number}.1", width)
            now, number = width, number + 1
            skips.append(now)
        if level < 3:
            found |= conv(f"{root}input_blocks.{number}.0.op", now, now)
            number += 1
            skips.append(now)
    found |= resblock(f"{root}middle_block.0", now, now)
    found |= transformer(f"{root}middle_block.1", now)
    found |= resblock(f"{root}middle_block.2", now, now)
    return found, skips


def unet() -> Shapes:
    root = "model.diffusion_model."
    found, skips = encoder(root)
    now, number = WIDTHS[-1], 0
    for level in (3, 2, 1, 0):
        for j in range(3):
            width, name = WIDTHS[level], f"{root}output_blocks.{number}"
            found |= resblock(f"{name}.0", now + skips.pop(), width)
            now, place = width, 1
            if level < 3:
                found |= transformer(f"{name}.1", width)
                place = 2
            if level > 0 and j == 2:
                found |= conv(f"{name}.{place}.conv", width, width)
            number += 1
    return found | norm(f"{root}out.0", now) | conv(f"{root}out.2", 4, now)


def local_adapter() -> Shapes:
    root = "local_adapter."
    found, skips = encoder(root, local=True)
    for i, width in enumerate(skips):
        found |= conv(f"{root}zero_convs.{i}.0", width, width, 1)
    found |= conv(f"{root}middle_block_out.0", WIDTHS[-1], WIDTHS[-1], 1)
    extractor = f"{root}feature_extractor"
    for stream in ("fg", "bg"):
        for i, (into, out) in enumerate(zip((3, *STREAM[:-1]), STREAM, strict=True)):
            found |= conv(f"{extractor}.{stream}_extractor.{2 * i}", out, into)
    for i, (into, out) in enumerate(zip((2 * STREAM[-1], *FEATURES[:-1]), FEATURES, strict=True)):
        found |= conv(f"{extractor}.extractors.{i}.0", out, into)
        found |= conv(f"{extractor}.zero_convs.{i}", out, out)
    return found


def global_adapter() -> Shapes:
    found: Shapes = {}
    for stream in ("fg", "bg"):
        into = EMBEDDING
        for i, out in ((1, 2 * EMBEDDING), (2, TOKENS * CONTEXT)):
            found |= norm(f"global_adapter.norm{i}_{stream}", into)
            found |= linear(f"global_adapter.ff{i}_{stream}.net.0.proj", 8 * into, into)
            found |= linear(f"global_adapter.ff{i}_{stream}.net.2", out, 4 * into)
            into = out
    return found


def vae() -> Shapes:
    root, w = "first_stage_model.", VAE_WIDTHS

    def block(name: str, into: int, out: int) -> Shapes:
        found = norm(f"{name}.norm1", into) | conv(f"{name}.conv1", out, into)
        found |= norm(f"{name}.norm2", out) | conv(f"{name}.conv2", out, out)
        return found | (conv(f"{name}.nin_shortcut", out, into, 1) if into != out else {})

    def middle(name: str) -> Shapes:
        found = block(f"{name}.block_1", w[-1], w[-1]) | block(f"{name}.block_2", w[-1], w[-1])
        found |= norm(f"{name}.attn_1.norm", w[-1])
        for x in ("q", "k", "v", "proj_out"):
            found |= conv(f"{name}.attn_1.{x}", w[-1], w[-1], 1)
        return found

    found = conv(f"{root}encoder.conv_in", w[0], 3) | middle(f"{root}encoder.mid")
    now = w[0]
    for i in range(4):
        for j in range(2):
            found |= block(f"{root}encoder.down.{i}.block.{j}", now, w[i])
            now = w[i]
        if i < 3:
            found |= conv(f"{root}encoder.down.{i}.downsample.conv", now, now)
    found |= norm(f"{root}encoder.norm_out", now) | conv(f"{root}encoder.conv_out", 8, now)
    found |= conv(f"{root}decoder.conv_in", w[-1], 4) | middle(f"{root}decoder.mid")
    for i in (3, 2, 1, 0):
        for j in range(3):
            found |= block(f"{root}decoder.up.{i}.block.{j}", now, w[i])
            now = w[i]
        if i > 0:
            found |= conv(f"{root}decoder.up.{i}.upsample.conv", now, now)
    found |= norm(f"{root}decoder.norm_out", now) | conv(f"{root}decoder.conv_out", 3, now)
    return found | conv(f"{root}quant_conv", 8, 8, 1) | conv(f"{root}post_quant_conv", 4, 4, 1)


def text() -> Shapes:
    root, width = "cond_stage_model.transformer.text_model.", CONTEXT
    found: Shapes = {f"{root}embeddings.token_embedding.weight": (WORDS, width)}
    found[f"{root}embeddings.position_embedding.weight"] = (77, width)
    for i in range(12):
        layer = f"{root}encoder.layers.{i}"
        for x in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= linear(f"{layer}.self_attn.{x}", width, width)
        found |= norm(f"{layer}.layer_norm1", width) | norm(f"{layer}.layer_norm2", width)
        found |= linear(f"{layer}.mlp.fc1", 2 * width, width)
        found |= linear(f"{layer}.mlp.fc2", width, 2 * width)
    return found | norm(f"{root}final_layer_norm", width)


def buffers() -> Iterator[tuple[str, Tensor]]:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = (1 - betas).cumprod(0)
    yield "betas", betas.float()
    yield "alphas_cumprod", kept.float()
    for name in (
        "alphas_cumprod_prev",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
    ):
        yield name, torch.zeros(1000)
    yield "cond_stage_model.transformer.text_model.embeddings.position_ids", torch.arange(77)[None]


@pytest.fixture(scope="session")
def weights() -> dict[str, Tensor]:
    """Random weights under every official name; buffers apart."""
    shapes = unet() | vae() | text() | local_adapter() | global_adapter()
    g = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=g) * 0.1 for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def official(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the published checkpoint holds, at reduced width."""
    return weights | dict(buffers())
