"""How `t2i-adapter-tiny` was made: a T2I-Adapter for depth maps on the frozen `sd-tiny`.

Mou et al. 2023: features of the map are added to the encoder's, one for each resolution; times are
drawn with more weight on high noise (section 3.4). Scenes and steps are those of
`controlnet-tiny-depth`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, T2IAdapter, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Generator, LongTensor, Tensor, nn

from compose_core.train import Task
from compose_zoo.recipes import cnc_samples, guide, noising, stages
from compose_zoo.recipes.denoiser import scheduler
from compose_zoo.recipes.parts import base_of

SEED = 9
CONFIG = replace(guide.CONFIG, seed=SEED)


def build(unet: UNet2DConditionModel, seed: int = 0) -> T2IAdapter:
    """A fresh adapter with one level for each of the UNet's."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return T2IAdapter(
            in_channels=3,
            channels=list(unet.config["block_out_channels"]),
            num_res_blocks=2,
            downscale_factor=4,
            adapter_type="full_adapter",
        )


class AdapterTask(Task):
    """The denoiser's own loss; only the adapter moves."""

    def __init__(
        self, samples: cnc_samples.SceneSamples, base: StableDiffusionPipeline, early: float = 1.0
    ) -> None:
        """Samples with one depth map; `early` of `noising.noised`."""
        self.samples, self.early = samples, early
        self.unet = base.unet.requires_grad_(False).eval()
        self.text = base.text_encoder.requires_grad_(False).eval()
        self.empty = torch.tensor(base.tokenizer("", padding="max_length").input_ids)
        self.adapter = build(base.unet)
        self.alphas = scheduler().alphas_cumprod

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The adapter."""
        return {"adapter": self.adapter}

    @property
    def size(self) -> int:
        """The number of samples."""
        return len(self.samples)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Latents, tokens, depth (B, 3, 64, 64) in [0, 1]."""
        found = self.samples.batch(indices)
        return {name: found[name] for name in ("latent", "tokens", "depth_fg")}

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Squared error of epsilon with the adapter's features, min-SNR weights."""
        device = batch["latent"].device
        self.unet.to(device)
        self.text.to(device)
        tokens = noising.dropped(batch["tokens"], self.empty, guide.WORDLESS, generator)
        drawn = noising.noised(batch["latent"], self.alphas, generator, self.early)
        with torch.no_grad():
            words = self.text(tokens).last_hidden_state
        features = self.adapter(batch["depth_fg"])
        predicted = self.unet(
            drawn.x_t, drawn.t, words, down_intrablock_additional_residuals=features
        ).sample
        return drawn.loss(predicted)


def train(
    folder: Path, device: str = "cpu", resume: bool = True, steps: int | None = None
) -> None:
    """Train in `folder` and write the adapter's diffusers folder ``folder/export``."""
    base = base_of(folder.parent)
    samples = cnc_samples.load(folder.parent, folder, base.vae.to(device), "map")
    base.unet.set_attn_processor(AttnProcessor())
    task = AdapterTask(samples, base)
    stages.run(task, CONFIG, folder / "adapter", device=device, resume=resume, steps=steps)
    if stages.first():
        task.adapter.half().save_pretrained(folder / "export", safe_serialization=True)
