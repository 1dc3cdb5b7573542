"""What the ControlNets learn: to follow a map of the scene with `sd-tiny` frozen.

`controlnet-tiny-depth` follows depth; other recipes give another `condition`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Generator, LongTensor, Tensor, nn
from transformers import CLIPTextModel

from compose_core.train import Task, TrainConfig
from compose_worlds.primitives import cache
from compose_worlds.primitives.labels import relative_depth
from compose_zoo.recipes import noising, parts, stages
from compose_zoo.recipes.denoiser import CAPTIONS, scheduler
from compose_zoo.recipes.sd_tiny import latents_of

SCENES = range(0, 12_288)
WORDLESS = 0.3
"""Share of captions replaced by "": the map alone must suffice as well."""
CONFIG = TrainConfig(
    steps=700,
    batch_size=32,
    lr=1e-3,
    seed=5,
    warmup=100,
    hold=0.4,
    ema=0.995,
    precision="bf16",
    channels_last=True,
    checkpoint_every=200,
)


def build(unet: UNet2DConditionModel, seed: int = 0) -> ControlNetModel:
    """A ControlNet that starts as a copy of the denoiser's encoder."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 64))


def condition(inverse: Tensor) -> Tensor:
    """Inverse depth (B, H, W) as a ControlNet takes it: (B, 3, H, W) in [0, 1], near is bright."""
    return relative_depth(inverse.float()[:, None]).repeat(1, 3, 1, 1)


class GuideTask(Task):
    """The denoiser's own loss; only the ControlNet moves."""

    def __init__(
        self,
        latents: Tensor,
        tokens: Tensor,
        labels: Tensor,
        unet: UNet2DConditionModel,
        encoder: CLIPTextModel,
        empty: Tensor,
        condition: Callable[[Tensor], Tensor] = condition,
    ) -> None:
        """Latents (2 N, 4, 16, 16) and tokens as `DenoiserTask`; labels of the N plain scenes.

        `condition` makes of labels (B, ...) the maps (B, 3, 64, 64) in [0, 1] that are followed;
        that of a mirrored scene is mirrored. By default labels are inverse depth (N, 64, 64).
        """
        self.latents, self.tokens, self.labels, self.empty = latents, tokens, labels, empty
        self.condition = condition
        self.unet = unet.requires_grad_(False).eval()
        self.text = encoder.requires_grad_(False).eval()
        self.control = build(unet)
        self.alphas = scheduler().alphas_cumprod

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The ControlNet."""
        return {"controlnet": self.control}

    @property
    def size(self) -> int:
        """Pictures, plain and mirrored, times captions."""
        return len(self.tokens)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Latents, tokens, map (B, 3, 64, 64) in [0, 1]."""
        number = indices // CAPTIONS
        shown = self.condition(self.labels[number % len(self.labels)])
        mirrored = number >= len(self.labels)
        shown[mirrored] = shown[mirrored].flip(-1)
        return {
            "latent": self.latents[number].float(),
            "tokens": self.tokens[indices],
            "map": shown,
        }

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Squared error of epsilon with the ControlNet's residuals, min-SNR weights."""
        device = batch["latent"].device
        self.unet.to(device)
        self.text.to(device)
        tokens = noising.dropped(batch["tokens"], self.empty, WORDLESS, generator)
        drawn = noising.noised(batch["latent"], self.alphas, generator)
        with torch.no_grad():
            words = self.text(tokens).last_hidden_state
        down, middle = self.control(drawn.x_t, drawn.t, words, batch["map"], return_dict=False)
        predicted = self.unet(
            drawn.x_t,
            drawn.t,
            words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        return drawn.loss(predicted)


def train(
    folder: Path,
    label: str,
    condition: Callable[[Tensor], Tensor],
    config: TrainConfig = CONFIG,
    *,
    device: str = "cpu",
    resume: bool = True,
    steps: int | None = None,
) -> None:
    """Train a ControlNet in `folder` and write its diffusers folder ``folder/export``.

    Args:
        folder: of the run, beside those of the others.
        label: the stored label that is followed, a name of `cache.make`.
        condition: makes maps of it, see `GuideTask`.
        config: how to train.
        device: where to train.
        resume: whether a run in `folder` may be continued.
        steps: fewer (or more) steps than the configuration's.
    """
    scenes = folder.parent / "cache" / "primitives"
    base = parts.base_of(folder.parent)
    latents, tokens = latents_of(folder.parent / "sd-tiny", scenes, base.vae.to(device))
    half, captions = len(latents) // 2, len(tokens) // 2
    use = SCENES.stop
    pick = use * (captions // half)
    latents = torch.cat([latents[:use], latents[half : half + use]])
    tokens = torch.cat([tokens[:pick], tokens[captions : captions + pick]])
    labels = cache.load(scenes, SCENES, (label,))[label]
    empty = torch.tensor(base.tokenizer("", padding="max_length").input_ids)
    base.unet.set_attn_processor(AttnProcessor())
    task = GuideTask(latents, tokens, labels, base.unet, base.text_encoder, empty, condition)
    task.control.set_attn_processor(AttnProcessor())
    stages.run(task, config, folder / "guide", device=device, resume=resume, steps=steps)
    if stages.first():
        task.control.set_default_attn_processor()
        task.control.half().save_pretrained(folder / "export", safe_serialization=True)
