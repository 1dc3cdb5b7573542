"""The autoencoder of `sd-tiny`: 64x64 pictures as 16x16x4 latents.

Pixels of objects are rare, so it learns from 32x32 crops, three quarters of which are centred on
an object; white and black objects, the hardest, are drawn more often by the world itself.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Generator, LongTensor, Tensor, nn

from compose_core.train import Task, TrainConfig
from compose_worlds.primitives import cache

CROP = 32
SCENES = range(0, 12_288)
CONFIG = TrainConfig(
    steps=2400,
    batch_size=64,
    lr=2e-3,
    seed=1,
    warmup=100,
    hold=0.4,
    ema=0.995,
    precision="bf16",
    channels_last=True,
    checkpoint_every=300,
    validate_every=600,
)


def build(seed: int = 0) -> AutoencoderTiny:
    """A fresh autoencoder, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return AutoencoderTiny(
            encoder_block_out_channels=(48, 48, 48),
            decoder_block_out_channels=(48, 48, 48),
            num_encoder_blocks=(1, 2, 3),
            num_decoder_blocks=(3, 2, 1),
            latent_channels=4,
            scaling_factor=1.0,
        )


def gradients(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Differences between neighbours along both axes: (B, C, H, W)."""
    return pictures.diff(dim=-1), pictures.diff(dim=-2)


class AutoencoderTask(Task):
    """Reconstruction of crops, sharp edges weighted, latents kept at unit variance."""

    def __init__(self, folder: Path, scenes: range = SCENES, seed: int = 0) -> None:
        """Read (and if need be render) the scenes; `folder` holds the cache."""
        data = cache.load(folder, scenes, ("picture", "instance"))
        self.data, self.objects = data["picture"], data["instance"]
        self.vae = build(seed)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The autoencoder."""
        return {"vae": self.vae}

    @property
    def size(self) -> int:
        """Every scene, plain and mirrored."""
        return 2 * len(self.data)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Crops (B, 3, 32, 32) in [-1, 1]."""
        crops = [self._crop(int(i)) for i in indices]
        return {"picture": torch.stack(crops).float() / 127.5 - 1}

    def _crop(self, index: int) -> Tensor:
        number, flip = index % len(self.data), index >= len(self.data)
        dice = Generator().manual_seed(index)
        picture, inside = self.data[number], self.objects[number] != 255
        limit = picture.shape[-1] - CROP
        if inside.any() and float(torch.rand((), generator=dice)) < 0.75:
            spots = inside.nonzero()
            spot = spots[int(torch.randint(len(spots), (), generator=dice))]
            y, x = (spot - CROP // 2).clamp(0, limit).tolist()
        else:
            y, x = torch.randint(limit + 1, (2,), generator=dice).tolist()
        # Multiples of the factor keep the crop on the grid that whole pictures are encoded on.
        y, x = y // 4 * 4, x // 4 * 4
        crop = picture[:, y : y + CROP, x : x + CROP]
        return crop.flip(-1) if flip else crop

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """L1 + 2 MSE + gradient L1 + a pull of each latent channel to mean 0, variance 1."""
        x = batch["picture"]
        z = self.vae.encode(x).latents.float()
        noise = torch.randn(z.shape, generator=generator, device=z.device)
        y = self.vae.decode(z + 0.04 * noise).sample.float()
        pixel = (y - x).abs().mean() + 2 * (y - x).square().mean()
        slope = sum((a - b).abs().mean() for a, b in zip(gradients(y), gradients(x), strict=True))
        mean, variance = z.mean((0, 2, 3)), z.var((0, 2, 3))
        unit = (mean.square() + (variance - 1).square()).mean()
        loss = pixel + slope + 0.01 * unit
        return loss, {"mse": float((y - x).square().mean().detach()), "unit": float(unit.detach())}


@torch.no_grad()
def psnr(vae: AutoencoderTiny, pictures: Tensor, inside: Tensor) -> tuple[float, float]:
    """PSNR in dB over all pixels and over object pixels; pictures (B, 3, H, W) in [-1, 1]."""
    error = [
        ((vae.decode(vae.encode(p).latents).sample.clamp(-1, 1) - p) / 2).square().mean(1)
        for p in pictures.split(64)
    ]
    squared = torch.cat(error)
    whole, objects = squared.mean(), squared[inside].mean()
    return float(-10 * whole.log10()), float(-10 * objects.log10())
