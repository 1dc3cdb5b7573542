"""How `tlam-control-tiny` was made: merged labels lead the frozen `sd-tiny` by a ControlNet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Generator, LongTensor, Tensor, nn
from transformers import CLIPTextModel

from compose_core.train import Task
from compose_tlam.control import LabelControl
from compose_tlam.labels import PRIMITIVES
from compose_tlam.sparsity import drop
from compose_tlam.training.game import pack, unpack
from compose_zoo.recipes import guide, noising, painters, parts, stages
from compose_zoo.recipes.denoiser import CAPTIONS, scheduler
from compose_zoo.recipes.sd_tiny import latents_of

SEED = 19
SPARSITY = 0.7
"""Each picture has its own sparsity, up to this."""
CONFIG = replace(guide.CONFIG, seed=SEED, batch_size=16)


class LabelGuideTask(Task):
    """The denoiser's own loss; merger and ControlNet move."""

    def __init__(
        self,
        latents: Tensor,
        tokens: Tensor,
        samples: painters.Rendered,
        unet: UNet2DConditionModel,
        encoder: CLIPTextModel,
        empty: Tensor,
    ) -> None:
        """Latents (2 N, 4, 16, 16) and tokens as `DenoiserTask`; the N plain scenes' labels."""
        self.latents, self.tokens, self.samples, self.empty = latents, tokens, samples, empty
        self.unet = unet.requires_grad_(False).eval()
        self.text = encoder.requires_grad_(False).eval()
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(SEED)
            self.control = LabelControl.from_unet(
                PRIMITIVES, unet, width=painters.WIDTH, layers=2, ratio=2.0
            )
        self.control.merger.recompute = False
        self.alphas = scheduler().alphas_cumprod

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Merger and ControlNet."""
        return {"control": self.control}

    @property
    def size(self) -> int:
        """Pictures, plain and mirrored, times captions."""
        return len(self.tokens)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Latents, tokens, labels and their areas."""
        number = indices // CAPTIONS
        count = len(self.samples)
        _, stack, regions = self.samples(number % count)
        mirrored = number >= count
        plain = {"areas": regions, **pack(stack)}
        turned = {"areas": regions.flip(-1), **pack(stack.flip())}
        labels = {
            name: torch.where(mirrored.view(-1, *[1] * (x.dim() - 1)), turned[name], x)
            for name, x in plain.items()
        }
        return {"latent": self.latents[number].float(), "tokens": self.tokens[indices], **labels}

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Squared error of epsilon with the ControlNet's residuals, min-SNR weights."""
        device = batch["latent"].device
        self.unet.to(device)
        self.text.to(device)
        share = SPARSITY * torch.rand(len(batch["latent"]), generator=generator, device=device)
        stack = drop(unpack(PRIMITIVES, batch), batch["areas"], share, generator)
        tokens = noising.dropped(batch["tokens"], self.empty, guide.WORDLESS, generator)
        drawn = noising.noised(batch["latent"], self.alphas, generator)
        with torch.no_grad():
            words = self.text(tokens).last_hidden_state
        down, middle = self.control(drawn.x_t, drawn.t, words, stack)
        predicted = self.unet(
            drawn.x_t,
            drawn.t,
            words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        return drawn.loss(predicted)


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write ``folder/export`` (see `compose_tlam.control`)."""
    base = parts.base_of(folder.parent)
    scenes = folder.parent / "cache" / "primitives"
    latents, tokens = latents_of(folder.parent / "sd-tiny", scenes, base.vae.to(device))
    half, captions = len(latents) // 2, len(tokens) // 2
    use = painters.SCENES.stop
    pick = use * (captions // half)
    latents = torch.cat([latents[:use], latents[half : half + use]])
    tokens = torch.cat([tokens[:pick], tokens[captions : captions + pick]])
    empty = torch.tensor(base.tokenizer("", padding="max_length").input_ids)
    base.unet.set_attn_processor(AttnProcessor())
    task = LabelGuideTask(
        latents, tokens, painters.Rendered(folder.parent), base.unet, base.text_encoder, empty
    )
    task.control.controlnet.set_attn_processor(AttnProcessor())
    stages.run(task, CONFIG, folder / "guide", device=device, resume=resume, steps=steps)
    if stages.first():
        task.control.controlnet.set_default_attn_processor()
        task.control.save(folder / "export")
