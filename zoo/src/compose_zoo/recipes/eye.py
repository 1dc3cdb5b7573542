"""What `judge-tiny` learns: to read scenes, clean and as the autoencoder would blur them."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from torch import Generator, LongTensor, Tensor, nn
from torch.nn import functional as F

from compose_core.train import Task, TrainConfig
from compose_worlds.judge import JudgeNet, Readings
from compose_worlds.primitives import cache
from compose_zoo.recipes.denoiser import encode

SCENES = range(0, 8_192)
CONFIG = TrainConfig(
    steps=800,
    batch_size=48,
    lr=3e-3,
    seed=3,
    warmup=100,
    hold=0.4,
    ema=0.995,
    precision="bf16",
    channels_last=True,
    checkpoint_every=400,
)
_NAMES = ("picture", "semantics", "instance", "color", "depth", "normals")


@torch.no_grad()
def blurred(vae: AutoencoderTiny, pictures: Tensor, seed: int = 0) -> Tensor:
    """Pictures (uint8) through the autoencoder with a little noise on the latents."""
    generator = Generator().manual_seed(seed)
    parts: list[Tensor] = []
    for chunk in pictures.split(128):
        z = encode(vae, chunk).float()
        amount = 0.35 * torch.rand(len(z), 1, 1, 1, generator=generator) ** 2
        z = z + amount * torch.randn(z.shape, generator=generator)
        device = next(vae.parameters()).device
        with torch.autocast(device.type, torch.bfloat16):
            y = vae.decode(z.to(device).contiguous(memory_format=torch.channels_last)).sample
        y = ((y.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        parts.append(y.contiguous().cpu())
    return torch.cat(parts)


def targets(instance: Tensor) -> tuple[Tensor, Tensor]:
    """Centre heat (B, 1, H, W) and offsets to it (B, 2, H, W), from instance numbers (255: none).

    An object's centre is the mean of its visible pixels; heat is a Gaussian of 1.5 pixels.
    """
    batch, height, width = instance.shape
    count = 6
    one = F.one_hot(torch.where(instance == 255, count, instance).long(), count + 1)[..., :count]
    one = one.permute(0, 3, 1, 2).float()
    y = (torch.arange(height, device=instance.device) + 0.5) / height
    x = (torch.arange(width, device=instance.device) + 0.5) / width
    mass = one.sum((2, 3)).clamp_min(1)
    cy = (one.sum(3) * y).sum(-1) / mass
    cx = (one.sum(2) * x).sum(-1) / mass
    there = (one.sum((2, 3)) > 0).float()
    distance = (y[:, None] - cy[..., None, None]) ** 2 + (x - cx[..., None, None]) ** 2
    heat = (torch.exp(-distance / (2 * (1.5 / width) ** 2)) * there[..., None, None]).amax(1)
    dx = (one * (cx[..., None, None] - x)).sum(1)
    dy = (one * (cy[..., None, None] - y[:, None])).sum(1)
    return heat[:, None], torch.stack([dx, dy], 1)


class EyeTask(Task):
    """All readings at once; half of the pictures are blurred, colours and noise vary a little."""

    def __init__(self, folder: Path, vae: AutoencoderTiny, scenes: range = SCENES) -> None:
        """Read the cache in `folder` and blur a copy of its pictures."""
        self.data = cache.load(folder, scenes, _NAMES)
        self.blurred = blurred(vae, self.data["picture"])
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(0)
            self.network = JudgeNet()

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The judge."""
        return {"judge": self.network}

    @property
    def size(self) -> int:
        """Clean and blurred, plain and mirrored."""
        return 4 * len(self.data["picture"])

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Pictures in [-1, 1] and all labels."""
        n = len(self.data["picture"])
        number, variant = indices % n, indices // n
        clean = (variant % 2 == 0)[:, None, None, None]
        pictures = torch.where(clean, self.data["picture"][number], self.blurred[number])
        out = {k: self.data[k][number] for k in _NAMES[1:]}
        out["picture"] = pictures.float() / 127.5 - 1
        out["normals"] = out["normals"].float() / 127
        mirrored = variant >= 2
        for key in out:
            out[key][mirrored] = out[key][mirrored].flip(-1)
        out["normals"][mirrored, 0] *= -1
        return out

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of class and colour, focal-weighted heat, L1 of offset, depth, normals."""
        x = batch["picture"]
        device = x.device
        gain = 1 + 0.12 * torch.randn((len(x), 3, 1, 1), generator=generator, device=device)
        shift = 0.06 * torch.randn((len(x), 3, 1, 1), generator=generator, device=device)
        noise = torch.randn(x.shape, generator=generator, device=device)
        strength = 0.08 * torch.rand((len(x), 1, 1, 1), generator=generator, device=device) ** 2
        return loss(self.network((x * gain + shift + strength * noise).clamp(-1, 1)), batch)


def loss(out: Readings, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """The judge's loss; object pixels count three times."""
    instance = batch["instance"]
    inside = (instance != 255).float()
    weight = 1 + 2 * inside
    semantics = F.cross_entropy(out.semantics, batch["semantics"].long(), reduction="none")
    color = torch.where(batch["color"] == 255, 0, batch["color"].long() + 1)
    colors = F.cross_entropy(out.color, color, reduction="none")
    heat, offset = targets(instance)
    heat_loss = F.binary_cross_entropy_with_logits(out.centre, heat, reduction="none")
    heat_loss = (heat_loss * (1 + 12 * heat)).mean()
    share = inside.sum().clamp_min(1)
    offset_loss = ((out.offset - offset).abs().sum(1) * inside).sum() / share
    depth = (out.depth[:, 0] - batch["depth"].float()).abs().mean()
    known = (batch["normals"].norm(dim=1) > 0.5).float()
    cosine = (out.normals * batch["normals"]).sum(1)
    normals = ((1 - cosine) * known).mean()
    parts = {
        "semantics": (semantics * weight).mean(),
        "color": (colors * weight).mean(),
        "heat": heat_loss,
        "offset": 4 * offset_loss,
        "depth": 2 * depth,
        "normals": normals,
    }
    return torch.stack(list(parts.values())).sum(), {
        k: float(v.detach()) for k, v in parts.items()
    }
