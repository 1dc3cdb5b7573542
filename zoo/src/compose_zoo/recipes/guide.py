"""What `controlnet-tiny-depth` learns: to follow a depth map with `sd-tiny` frozen."""

from __future__ import annotations

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Generator, LongTensor, Tensor, nn
from transformers import CLIPTextModel

from compose_core.train import Task, TrainConfig
from compose_worlds.primitives.labels import relative_depth
from compose_zoo.recipes import noising
from compose_zoo.recipes.denoiser import CAPTIONS, scheduler

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
        depth: Tensor,
        unet: UNet2DConditionModel,
        encoder: CLIPTextModel,
        empty: Tensor,
    ) -> None:
        """Latents (2 N, 4, 16, 16) and tokens as `DenoiserTask`; depth (N, 64, 64) inverse."""
        self.latents, self.tokens, self.depth, self.empty = latents, tokens, depth, empty
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
        """Latents, tokens, depth (B, 3, 64, 64) in [0, 1]."""
        number = indices // CAPTIONS
        depth = condition(self.depth[number % len(self.depth)])
        mirrored = number >= len(self.depth)
        depth[mirrored] = depth[mirrored].flip(-1)
        return {
            "latent": self.latents[number].float(),
            "tokens": self.tokens[indices],
            "depth": depth,
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
        down, middle = self.control(drawn.x_t, drawn.t, words, batch["depth"], return_dict=False)
        predicted = self.unet(
            drawn.x_t,
            drawn.t,
            words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        return drawn.loss(predicted)
