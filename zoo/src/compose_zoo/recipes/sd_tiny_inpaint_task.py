"""What `sd-tiny-inpaint` learns: to fill holes, and to take objects away."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from torch import Generator, LongTensor, Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from compose_core.train import Task
from compose_zoo.recipes import noising
from compose_zoo.recipes.denoiser import CAPTIONS, DROPPED, scheduler

EMPTIED = 0.4
"""Share of samples in which the hole is where objects were."""
WHOLE = 0.1
"""Share of the other holes that leave nothing of the picture."""
_SHAPES = 3
_GROWTH = (3, 11)
"""Sides of the square by which an object's mask grows, in pixels: odd, the range of the draw."""


@dataclass(frozen=True)
class Holes:
    """Scenes with and without their foregrounds.

    Attributes:
        pictures: (N, 3, H, W) uint8.
        mask: (N, H, W) bool, the foreground.
        latents: (2 N, 4, h, w), plain and mirrored.
        tokens: (2 N CAPTIONS, L).
        emptied: (2 N, 4, h, w), latents of the scene without its foreground.
        said: (N, L), what is said where that is wanted.
    """

    pictures: Tensor
    mask: Tensor
    latents: Tensor
    tokens: Tensor
    emptied: Tensor
    said: Tensor


def holes(count: int, size: tuple[int, int], generator: Generator) -> Tensor:
    """Random holes (count, 1, H, W), 1 inside: one to three turned boxes and ellipses together.

    About a share `WHOLE` is all hole.
    """
    device = generator.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator, device=device)

    y, x = ((torch.arange(n, device=device) + 0.5) / n for n in size)
    middle, angle = draw(_SHAPES, 2), draw(_SHAPES) * torch.pi
    half = 0.06 + 0.3 * draw(_SHAPES, 2)
    dy = y[:, None] - middle[..., 0, None, None]
    dx = x - middle[..., 1, None, None]
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    u = (cos * dx + sin * dy) / half[..., 0, None, None]
    v = (cos * dy - sin * dx) / half[..., 1, None, None]
    box = torch.maximum(u.abs(), v.abs()) <= 1
    ellipse = u.square() + v.square() <= 1
    inside = torch.where((draw(_SHAPES) < 0.5)[..., None, None], box, ellipse)
    used = torch.arange(_SHAPES, device=device) <= (draw() * _SHAPES).long()[:, None]
    found = (inside & used[..., None, None]).any(1, keepdim=True)
    return (found | (draw() < WHOLE)[:, None, None, None]).float()


def grown(mask: Tensor, sides: Tensor) -> Tensor:
    """Masks (B, 1, H, W) of zeros and ones, each grown by a square of its odd side (B,)."""
    out = mask
    for side in sides.unique().tolist():
        wide = F.max_pool2d(mask, int(side), 1, int(side) // 2)
        out = torch.where((sides == side)[:, None, None, None], wide, out)
    return out


class InpaintTask(Task):
    """The denoiser's own loss with nine channels; the whole UNet moves."""

    def __init__(
        self,
        data: Holes,
        unet: UNet2DConditionModel,
        encoder: CLIPTextModel,
        vae: AutoencoderTiny,
        words: CLIPTokenizer,
    ) -> None:
        self.data, self.unet = data, unet
        self.text = encoder.requires_grad_(False).eval()
        self.vae = vae.requires_grad_(False).eval()
        self.empty = torch.tensor(words("", padding="max_length").input_ids)
        self.alphas = scheduler().alphas_cumprod

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The denoiser."""
        return {"unet": self.unet}

    @property
    def size(self) -> int:
        """Pictures, plain and mirrored, times captions."""
        return len(self.data.tokens)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Pictures (B, 3, H, W) in [-1, 1], masks (B, 1, H, W), both latents and texts."""
        data = self.data
        number = indices // CAPTIONS
        scene, mirrored = number % len(data.pictures), number >= len(data.pictures)
        pictures = data.pictures[scene].float() / 127.5 - 1
        mask = data.mask[scene][:, None].float()
        for value in (pictures, mask):
            value[mirrored] = value[mirrored].flip(-1)
        return {
            "picture": pictures,
            "mask": mask,
            "latent": data.latents[number].float(),
            "tokens": data.tokens[indices],
            "emptied": data.emptied[number].float(),
            "said": data.said[scene],
        }

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Squared error of epsilon, min-SNR weights; inside and outside of the hole alike."""
        device = batch["latent"].device
        self.text.to(device)
        self.vae.to(device)
        hole, x0, tokens = self._wanted(batch, generator)
        tokens = noising.dropped(tokens, self.empty, DROPPED, generator)
        drawn = noising.noised(x0, self.alphas, generator)
        with torch.no_grad():
            words = self.text(tokens).last_hidden_state
            around = self.vae.encode(batch["picture"] * (hole < 0.5)).latents
        small = F.interpolate(hole, size=x0.shape[2:])
        seen = torch.cat([drawn.x_t, small, around.to(drawn.x_t.dtype)], 1)
        return drawn.loss(self.unet(seen, drawn.t, words).sample)

    def _wanted(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hole, clean latents and tokens: of the whole scene, or of the emptied one."""
        mask = batch["mask"]
        count, device = len(mask), mask.device
        anywhere = holes(count, (mask.shape[2], mask.shape[3]), generator)
        low, high = _GROWTH
        steps = torch.randint((high - low) // 2 + 1, (count,), generator=generator, device=device)
        empty = torch.rand(count, generator=generator, device=device) < EMPTIED
        wide = empty[:, None, None, None]
        hole = torch.where(wide, grown(mask, low + 2 * steps), anywhere)
        x0 = torch.where(wide, batch["emptied"], batch["latent"])
        return hole, x0, torch.where(empty[:, None], batch["said"], batch["tokens"])
