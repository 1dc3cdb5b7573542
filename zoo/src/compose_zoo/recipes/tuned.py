"""What the variants of `sd-tiny` learn: changes of its UNet; words and latents rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from torch import Generator, LongTensor, Tensor, nn

from compose_core.train import Task
from compose_core.zoo.digest import hash_folder
from compose_zoo.recipes import denoiser, low_rank, noising, stages
from compose_zoo.recipes.parts import folder_of

CONFIG = replace(
    denoiser.CONFIG,
    steps=600,
    lr=2e-3,
    seed=0,
    warmup=50,
    hold=0.4,
    ema=0.995,
    checkpoint_every=100,
    validate_every=0,
)
"""From no change on; each variant has its own seed."""
BASE = "sd-tiny"


class TunedTask(Task):
    """The denoiser's own loss on other pictures; the text encoder rests."""

    def __init__(
        self,
        latents: Tensor,
        tokens: Tensor,
        base: StableDiffusionPipeline,
        early: float = denoiser.EARLY,
    ) -> None:
        """Latents (2 N, 4, 16, 16) and tokens as `DenoiserTask`; the UNet of `base` is changed."""
        self.latents, self.tokens, self.early = latents, tokens, early
        self.unet = base.unet.eval()
        self.changes = low_rank.attach(self.unet)
        # The explicit softmax trains faster than the fused one on a CPU.
        self.unet.set_attn_processor(AttnProcessor())
        self.text = base.text_encoder.requires_grad_(False).eval()
        self.empty = torch.tensor(base.tokenizer("", padding="max_length").input_ids)
        self.alphas = denoiser.scheduler().alphas_cumprod

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is added to the layers of the UNet."""
        return {"changes": self.changes}

    @property
    def size(self) -> int:
        """Pictures, plain and mirrored, times captions."""
        return len(self.tokens)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Latents (B, 4, 16, 16) and tokens (B, length)."""
        latents = self.latents[indices // denoiser.CAPTIONS].float()
        return {"latent": latents, "tokens": self.tokens[indices]}

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Squared error of epsilon, min-SNR weights."""
        self.text.to(batch["latent"].device)
        self.unet.to(batch["latent"].device)
        tokens = noising.dropped(batch["tokens"], self.empty, denoiser.DROPPED, generator)
        drawn = noising.noised(batch["latent"], self.alphas, generator, self.early)
        with torch.no_grad():
            words = self.text(tokens).last_hidden_state
        return drawn.loss(self.unet(drawn.x_t, drawn.t, words).sample)


def train(
    task: TunedTask,
    folder: Path,
    *,
    seed: int,
    device: str = "cpu",
    resume: bool = True,
    steps: int | None = None,
) -> None:
    """Train in `folder` and write the changes to ``folder/export``.

    Args:
        task: what is learned.
        folder: of the run.
        seed: fixes order and noise.
        device: where to train.
        resume: whether a run in `folder` may be continued.
        steps: fewer (or more) steps than those of `CONFIG`.
    """
    config = replace(CONFIG, seed=seed)
    stages.run(task, config, folder / "changes", device=device, resume=resume, steps=steps)
    if stages.first():
        pin = hash_folder(folder_of(folder.parent))
        low_rank.export(task.changes, task.unet, folder / "export", BASE, pin)
