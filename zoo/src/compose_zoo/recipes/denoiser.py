"""The denoiser of `sd-tiny`: a `UNet2DConditionModel` and its text encoder, trained together.

Cross-attention works at 16x16 and 8x8, the two sizes whose maps the composition methods read; a
third, cheap level at 4x4 sees the whole picture at once. `attention_head_dim` of diffusers' UNet
is the *number* of heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Generator, LongTensor, Tensor, nn

from compose_core.train import Task, TrainConfig
from compose_worlds.primitives import cache, captions, draw
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import stack
from compose_zoo.recipes import noising, text

SCENES = range(0, 20_480)
MORE = range(20_480, 40_960)
"""Scenes that the second round adds."""
EMPTY = range(20_000_000, 20_001_024)
"""Places without objects, drawn beside the scenes."""
VAGUE, PLACELESS = 0.06, 0.18
"""Share of captions that only speak of toys, and that name no place."""
CAPTIONS = 4
"""Captions drawn per picture and per mirrored picture."""
CONFIG = TrainConfig(
    steps=6200,
    batch_size=32,
    lr=1e-3,
    seed=2,
    warmup=200,
    hold=0.44,
    ema=0.999,
    precision="bf16",
    channels_last=True,
    checkpoint_every=500,
    validate_every=1000,
)
SECOND = replace(CONFIG, steps=11_500, lr=8e-4, seed=3, warmup=300, hold=0.35)
"""The second round: from the averaged weights of the first, with twice the scenes."""
EARLY = 0.5
"""Share of the second round's times that favour high noise."""
DROPPED = 0.1
"""Share of captions replaced by "", for classifier-free guidance."""


def build(seed: int = 0) -> UNet2DConditionModel:
    """A fresh denoiser, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return UNet2DConditionModel(
            sample_size=16,
            in_channels=4,
            out_channels=4,
            block_out_channels=(64, 128, 128),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=128,
            attention_head_dim=(2, 4, 4),
            norm_num_groups=16,
        )


def scheduler() -> DDIMScheduler:
    """The noise schedule of Stable Diffusion 1.5."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


@torch.no_grad()
def encode(vae: AutoencoderTiny, pictures: Tensor, batch: int = 128) -> Tensor:
    """Latents of uint8 pictures (B, 3, H, W): float16 (B, 4, H / 4, W / 4) on the CPU."""
    vae = vae.to(memory_format=torch.channels_last)
    device = next(vae.parameters()).device
    parts: list[Tensor] = []
    for chunk in pictures.split(batch):
        x = (chunk.to(device).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            parts.append(vae.encode(x).latents.half().contiguous().cpu())
    return torch.cat(parts)


def sentences(scenes: range, empty: range = range(0)) -> list[str]:
    """All captions: for each picture `CAPTIONS`, then for each mirrored picture as many.

    Drawn scenes come first, then places without objects.
    """
    plain: list[str] = []
    flipped: list[str] = []
    for number in scenes:
        scene, claims = draw.scene(number)
        dice = Generator().manual_seed(number)
        for i in range(2 * CAPTIONS):
            made = draw.caption(scene, claims, number * 2 * CAPTIONS + i)
            made = _loosened(made, len(claims), dice)
            if i < CAPTIONS:
                plain.append(made.text)
            else:
                flipped.append(captions.mirrored(made).text)
    for number in empty:
        place = draw.empty(number).setting.environment
        dice = Generator().manual_seed(number)
        for i in range(2 * CAPTIONS):
            text = captions.scenery(place, dice).text
            (plain if i < CAPTIONS else flipped).append(text)
    return plain + flipped


def _loosened(caption: captions.Caption, count: int, dice: Generator) -> captions.Caption:
    """Now and then the place is left out, or the objects are only "toys": prompts are, too."""
    chance = float(torch.rand((), generator=dice))
    if chance < VAGUE:
        return captions.vague(count, caption.environment, dice)
    return captions.placeless(caption) if chance < VAGUE + PLACELESS else caption


class DenoiserTask(Task):
    """Denoising of latents under captions: epsilon prediction, min-SNR weights."""

    def __init__(
        self, latents: Tensor, tokens: Tensor, words: text.CLIPTokenizer, early: float = 0.0
    ) -> None:
        """Latents (N, 4, 16, 16), tokens (N * CAPTIONS, length), `early` of `noising.noised`."""
        self.latents, self.tokens, self.early = latents, tokens, early
        self.unet = build()
        # The explicit softmax trains faster than the fused one on a CPU.
        self.unet.set_attn_processor(AttnProcessor())
        self.text = text.text_encoder(words)
        self.empty = torch.tensor(words("", padding="max_length").input_ids)
        self.alphas = scheduler().alphas_cumprod

    def start_from(self, other: DenoiserTask) -> None:
        """Take over the weights of another task's networks."""
        for name, module in self.modules.items():
            module.load_state_dict(other.modules[name].state_dict())

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Denoiser and text encoder."""
        return {"unet": self.unet, "text_encoder": self.text}

    @property
    def size(self) -> int:
        """Pictures times captions."""
        return len(self.tokens)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Latents (B, 4, 16, 16) and tokens (B, length)."""
        latents = self.latents[indices // CAPTIONS].float()
        return {"latent": latents, "tokens": self.tokens[indices]}

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Squared error of epsilon, weighted by min(SNR, 5) / SNR (Hang et al., 2023)."""
        return self._loss(self.modules, batch, generator, DROPPED, self.early)

    def _loss(
        self,
        modules: Mapping[str, nn.Module],
        batch: dict[str, Tensor],
        generator: Generator,
        share: float,
        early: float = 0.0,
    ) -> tuple[Tensor, dict[str, float]]:
        tokens = noising.dropped(batch["tokens"], self.empty, share, generator)
        drawn = noising.noised(batch["latent"], self.alphas, generator, early)
        words = modules["text_encoder"](tokens).last_hidden_state
        return drawn.loss(modules["unet"](drawn.x_t, drawn.t, words).sample)

    @torch.no_grad()
    def validate(self, modules: Mapping[str, nn.Module]) -> dict[str, float]:
        """The squared error of epsilon on a fixed draw of training samples, without dropout."""
        generator = Generator().manual_seed(0)
        chosen = torch.arange(0, self.size, max(1, self.size // 512))[:512]
        _, logs = self._loss(modules, self.batch(chosen), generator, 0.0)  # type: ignore[arg-type]
        return logs


def prepare(
    folder: Path, vae: AutoencoderTiny, scenes: range = SCENES, empty: range = EMPTY
) -> tuple[Tensor, Tensor]:
    """Latents and tokens for `DenoiserTask`, from the cache of rendered scenes in `folder`."""
    pictures = cache.load(folder, scenes, ("picture",))["picture"]
    pictures = torch.cat([pictures, *(_places(part) for part in _chunks(empty))])
    latents = torch.cat([encode(vae, pictures), encode(vae, pictures.flip(-1))])
    words = text.tokenizer()
    tokens = words(
        sentences(scenes, empty), padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    return latents, tokens


def _chunks(numbers: range, size: int = 64) -> list[range]:
    return [numbers[i : i + size] for i in range(0, len(numbers), size)]


def _places(numbers: range) -> Tensor:
    made = picture(stack([draw.empty(number) for number in numbers]))
    return (made * 255).round().to(torch.uint8)
