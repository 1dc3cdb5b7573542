"""The classifier of `dde-positions-tiny`: each pixel's probability of being a toy's centre.

As in appendix B.2.3 it is told single pixels only: toys' centres are positive, random places
negative. A place that happens to be a centre too is a wrong label, as it was there.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, LongTensor, Tensor, nn
from torch.nn import functional as F

from compose_core.train import Task, TrainConfig
from compose_dde.classifier import Classifier
from compose_zoo.recipes.dde_parts import seeded
from compose_zoo.recipes.dde_toys import SIZE, Toys

CONFIG = TrainConfig(
    steps=1_200,
    batch_size=32,
    lr=2e-3,
    seed=23,
    warmup=50,
    ema=0.99,
    precision="bf16",
    channels_last=True,
    checkpoint_every=200,
)
NEGATIVES = 12
"""Random places of each picture."""


class MarksTask(Task):
    """Cross-entropy at some pixels."""

    def __init__(self, toys: Toys) -> None:
        """Over these scenes."""
        self.toys = toys
        self.classifier = seeded(23, lambda: Classifier(width=8, multipliers=(1, 2, 2)))

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The classifier."""
        return {"classifier": self.classifier}

    @property
    def size(self) -> int:
        """Scenes."""
        return len(self.toys)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Scenes by number."""
        return self.toys.batch(indices)

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The mean over positive and over negative places, each half."""
        x, at = batch["x"], batch["positions"]
        options = {"generator": generator, "device": x.device}
        # A little noise, so that the remains of sampling are no sign of anything.
        x = x + 0.06 * torch.rand((len(x), 1, 1, 1), **options) * torch.randn(x.shape, **options)
        logits = self.classifier(x).float().flatten(1)
        there = at[..., 0] >= 0
        cell = (at.clamp(0, 1 - 1e-6) * SIZE).long()
        own = logits.gather(1, cell[..., 1] * SIZE + cell[..., 0])
        elsewhere = torch.randint(SIZE * SIZE, (len(x), NEGATIVES), **options)
        other = logits.gather(1, elsewhere)
        yes = F.softplus(-own)[there].mean()
        no = F.softplus(other).mean()
        found = float((own[there] > 0).float().mean())
        return (yes + no) / 2, {"recall": found, "false": float((other > 0).float().mean())}
