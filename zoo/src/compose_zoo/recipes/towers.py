"""What `clip-tiny` learns: which caption belongs to which picture (an open_clip model)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file
from torch import Generator, LongTensor, Tensor, nn
from torch.nn import functional as F

from compose_core.train import Task, TrainConfig
from compose_worlds.primitives import cache
from compose_zoo.recipes import text
from compose_zoo.recipes.denoiser import CAPTIONS, sentences

SCENES = range(0, 20_480)
CONFIG = TrainConfig(
    steps=600,
    batch_size=128,
    lr=1e-3,
    seed=4,
    warmup=200,
    hold=0.3,
    ema=0.995,
    weight_decay=0.05,
    precision="bf16",
    checkpoint_every=400,
)


def config(vocabulary: int) -> dict[str, Any]:
    """The open_clip configuration: 64x64 pictures in 8x8 patches, captions of 32 tokens."""
    return {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": 64,
            "patch_size": 8,
            "width": 128,
            "layers": 4,
            "head_width": 32,
            "mlp_ratio": 3.0,
        },
        "text_cfg": {
            "context_length": text.LENGTH,
            "vocab_size": vocabulary,
            "width": 128,
            "heads": 4,
            "layers": 3,
        },
    }


def build(vocabulary: int, seed: int = 0) -> nn.Module:
    """A fresh pair of towers, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return open_clip.CLIP(**config(vocabulary))


def load(folder: Path) -> nn.Module:
    """The published towers in single precision, strictly; in evaluation mode."""
    settings = json.loads((folder / "open_clip_config.json").read_text("utf-8"))
    clip = open_clip.CLIP(**settings["model_cfg"])
    weights = load_file(folder / "open_clip_model.safetensors")
    weights = {k: v.float() for k, v in weights.items()}
    # The causal mask is a constant that open_clip keeps among its buffers.
    mask = {"attn_mask": clip.attn_mask} if "attn_mask" in clip.state_dict() else {}
    clip.load_state_dict({**weights, **mask}, strict=True)
    return clip.eval()


class TowersTask(Task):
    """The contrastive loss of CLIP; captions that are equal in a batch are not told apart."""

    def __init__(self, folder: Path, scenes: range = SCENES) -> None:
        """Read the cache in `folder` and tokenise the captions."""
        self.shown = cache.load(folder, scenes, ("picture",))["picture"]
        words = text.tokenizer()
        self.tokens: Tensor = words(
            sentences(scenes), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        self.clip = build(len(words))

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Both towers."""
        return {"clip": self.clip}

    @property
    def size(self) -> int:
        """Pictures, plain and mirrored, times captions."""
        return len(self.tokens)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Pictures (B, 3, 64, 64) in [-1, 1] and tokens (B, length)."""
        n = len(self.shown)
        number = indices // CAPTIONS
        pictures = self.shown[number % n].float() / 127.5 - 1
        mirrored = number >= n
        pictures[mirrored] = pictures[mirrored].flip(-1)
        return {"picture": pictures, "tokens": self.tokens[indices]}

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Symmetric cross-entropy over the batch, targets shared by equal captions."""
        x, tokens = batch["picture"], batch["tokens"]
        gain = 1 + 0.08 * torch.randn((len(x), 1, 1, 1), generator=generator, device=x.device)
        image, words, scale = self.clip(x * gain, tokens)
        logits = scale.float() * image.float() @ words.float().mT
        same = (tokens[:, None] == tokens[None]).all(-1).float()
        target = same / same.sum(-1, keepdim=True)
        value = (F.cross_entropy(logits, target) + F.cross_entropy(logits.mT, target)) / 2
        right = (same.gather(1, logits.argmax(1, keepdim=True)) > 0).float().mean()
        return value, {"accuracy": float(right)}
