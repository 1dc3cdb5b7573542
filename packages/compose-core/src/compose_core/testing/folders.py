"""Model folders with random weights, in the real diffusers and transformers classes.

They let a test take every code path that Stable Diffusion takes, in milliseconds. The pictures
are noise.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
TEXT_WIDTH = 32


def tiny_stable_diffusion(folder: str | Path, seed: int = 0) -> Path:
    """Write a Stable Diffusion folder of 0.4M random weights; pictures of 64x64, 16x16 latents.

    `AutoencoderKL` (factor 4, 4 channels), `UNet2DConditionModel` with cross-attention at 16x16
    and 8x8, `CLIPTextModel`, a byte-level `CLIPTokenizer` that takes any text, `DDIMScheduler`
    and `model_index.json`: what `DiffusionPipeline.save_pretrained` writes.

    Args:
        folder: Where; made when missing.
        seed: Of the weights. The same seed gives the same weights.

    Returns:
        The folder.
    """
    diffusers: Any = import_module("diffusers")

    pipeline: Any = diffusers.StableDiffusionPipeline(
        vae=_filled(_vae, seed),
        unet=_filled(_unet, seed + 1),
        text_encoder=_filled(_text_encoder, seed + 2),
        tokenizer=_tokenizer(),
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return Path(folder)


def tiny_stable_diffusion_xl(folder: str | Path, seed: int = 0) -> Path:
    """Write a Stable Diffusion XL folder of random weights: two text encoders, one UNet.

    As `tiny_stable_diffusion`, but for a `CLIPTextModelWithProjection` as second encoder and a
    UNet that hears both, its pooled embedding, and the size of the picture.

    Args:
        folder: Where; made when missing.
        seed: Of the weights.

    Returns:
        The folder.
    """
    diffusers: Any = import_module("diffusers")

    pipeline: Any = diffusers.StableDiffusionXLPipeline(
        vae=_filled(_vae, seed),
        unet=_filled(lambda: _unet(**_XL), seed + 1),
        text_encoder=_filled(_text_encoder, seed + 2),
        text_encoder_2=_filled(lambda: _text_encoder(projected=True), seed + 3),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return Path(folder)


def tiny_controlnet(folder: str | Path, seed: int = 0) -> Path:
    """Write a random `ControlNetModel` folder that fits `tiny_stable_diffusion`.

    Its condition is a picture `(B, 3, 64, 64)`, four times the size of the latents. The output
    convolutions are not zero, so that the condition has an effect.

    Args:
        folder: Where; made when missing.
        seed: Of the weights.

    Returns:
        The folder.
    """
    _filled(_controlnet, seed).save_pretrained(folder)
    return Path(folder)


def _vae() -> Any:
    diffusers: Any = import_module("diffusers")

    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 16),
        norm_num_groups=4,
        layers_per_block=1,
        latent_channels=4,
        sample_size=64,
        scaling_factor=0.18215,
    )


_XL = {
    "cross_attention_dim": 2 * TEXT_WIDTH,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + TEXT_WIDTH,
}
"""What a UNet of Stable Diffusion XL has besides."""


def _unet(**more: Any) -> Any:
    diffusers: Any = import_module("diffusers")

    options: dict[str, Any] = {"cross_attention_dim": TEXT_WIDTH, **more}
    return diffusers.UNet2DConditionModel(
        sample_size=16,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=2,  # in this class: the number of heads
        **options,
    )


def _controlnet() -> Any:
    diffusers: Any = import_module("diffusers")

    return diffusers.ControlNetModel(
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=2,
        conditioning_embedding_out_channels=(8, 16, 16),  # two halvings: 64 to 16
    )


def _text_encoder(projected: bool = False) -> Any:
    transformers: Any = import_module("transformers")

    vocabulary = _vocabulary()
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return kind(
        transformers.CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=TEXT_WIDTH,
            intermediate_size=64,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=vocabulary[BOS],
            eos_token_id=vocabulary[EOS],
            pad_token_id=vocabulary[EOS],
        )
    )


def _tokenizer() -> Any:
    transformers: Any = import_module("transformers")

    return transformers.CLIPTokenizer(vocab=_vocabulary(), merges=[], model_max_length=77)


def _vocabulary() -> dict[str, int]:
    """Every byte, every byte that ends a word, and the two marks; so any text can be spelled."""
    splitters: Any = import_module("tokenizers.pre_tokenizers")

    letters: list[str] = sorted(splitters.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), BOS, EOS]
    return {token: number for number, token in enumerate(tokens)}


def _filled(build: Any, seed: int) -> Any:
    """The model, its weights drawn from an explicit generator; global randomness untouched."""
    with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType]
        model: nn.Module = build()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, weight[0].numel() ** -0.5, generator=generator)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.02, generator=generator)
    return model.eval()
