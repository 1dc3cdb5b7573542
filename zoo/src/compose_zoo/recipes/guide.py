"""What `controlnet-tiny-depth` learns: to follow a depth map with `sd-tiny` frozen."""

from __future__ import annotations

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Generator, LongTensor, Tensor, nn
from transformers import CLIPTextModel

from compose_core.train import Task, TrainConfig
from compose_worlds.primitives.labels import relative_depth
from compose_zoo.recipes.denoiser import CAPTIONS, DROPPED, SNR_CAP, scheduler

SCENES = range(0, 12_288)
CONFIG = TrainConfig(
    steps=450,
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
        x0, tokens = batch["latent"], batch["tokens"]
        n, device = len(x0), x0.device
        self.unet.to(device)
        self.text.to(device)
        drop = torch.rand(n, generator=generator, device=device) < max(DROPPED, 0.3)
        tokens = torch.where(drop[:, None], self.empty.to(device), tokens)
        t = torch.randint(1000, (n,), generator=generator, device=device)
        eps = torch.randn(x0.shape, generator=generator, device=device)
        alpha2 = self.alphas.to(device)[t][:, None, None, None]
        x_t = alpha2.sqrt() * x0 + (1 - alpha2).sqrt() * eps
        with torch.no_grad():
            words = self.text(tokens).last_hidden_state
        down, middle = self.control(x_t, t, words, batch["depth"], return_dict=False)
        predicted = self.unet(
            x_t,
            t,
            words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample.float()
        error = (predicted - eps).square().mean((1, 2, 3))
        snr = (alpha2 / (1 - alpha2)).flatten()
        weight = snr.clamp_max(SNR_CAP) / snr
        return (weight * error).mean(), {"mse": float(error.mean().detach())}
