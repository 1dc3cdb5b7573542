"""Random labels and tiny painters, for tests of whatever builds on this package."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Generator, LongTensor, Tensor
from torch.nn import functional as F

from compose_tlam.labels import PRIMITIVES, LabelSet
from compose_tlam.model import Config, Painter
from compose_tlam.sparsity import areas
from compose_tlam.stack import LabelStack

__all__ = ["RandomSamples", "random_stack", "tiny_config", "tiny_painter"]


def random_stack(
    shape: tuple[int, int, int],
    generator: Generator,
    *,
    labels: LabelSet = PRIMITIVES,
    present: float = 0.7,
    dtype: torch.dtype = torch.float32,
) -> LabelStack:
    """Labels of noise, each pixel of each valid with probability `present`.

    Args:
        shape: (B, H, W).
        generator: The source of chance.
        labels: The registry.
        present: Probability of being valid.
        dtype: Of real channels.
    """
    batch, height, width = shape
    values: dict[str, Tensor] = {}
    valid: dict[str, Tensor] = {}
    for label in labels:
        size = (batch, label.channels, height, width)
        if label.discrete:
            values[label.name] = torch.randint(0, label.count, shape, generator=generator)
        elif label.kind == "vector":
            values[label.name] = F.normalize(torch.randn(size, generator=generator), dim=1)
        else:
            share = torch.rand(size, generator=generator)
            values[label.name] = label.low + (label.high - label.low) * share
        if not label.discrete:
            values[label.name] = values[label.name].to(dtype)
        valid[label.name] = torch.rand(shape, generator=generator) < present
    return LabelStack.of(labels, values, valid)


def tiny_config(merger: str = "tlam", generator: str = "asap", **merging: Any) -> Config:
    """A painter of a few thousand weights."""
    options: dict[str, Any] = {}
    if merger in ("tlam", "clam", "mean", "poe"):
        options["width"] = 6
    if merger in ("tlam", "clam"):
        options["layers"] = 2
    painting: dict[str, Any] = {"last": 2, "factors": (2, 2, 1), "hidden": 4}
    if generator == "asap":
        painting = {"tile": 4, "learned": 2, "narrow": 4, "deep": 6, "depth": 2, "pixel": 4}
    return Config(
        labels=PRIMITIVES,
        merger=merger,
        merging={**options, **merging},
        generator=generator,
        painting=painting,
        side=16,
    )


def tiny_painter(merger: str = "tlam", generator: str = "asap", **merging: Any) -> Painter:
    """The same with weights, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(0)
        return Painter(tiny_config(merger, generator, **merging))


@final
class RandomSamples:
    """Noise as pictures, with labels of noise (`compose_tlam.training.Samples`)."""

    labels: LabelSet = PRIMITIVES

    def __init__(self, count: int = 5, side: int = 16) -> None:
        """`count` samples of `side` x `side` pixels."""
        generator = Generator().manual_seed(1)
        self.stack = random_stack((count, side, side), generator, present=1.0)
        self.pictures = torch.rand(count, 3, side, side, generator=generator) * 2 - 1
        blocks = torch.arange(side) // 4
        self.areas = areas((blocks + 4 * blocks[:, None]).expand(count, -1, -1))

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.pictures)

    def __call__(self, indices: LongTensor) -> tuple[Tensor, LabelStack, Tensor]:
        """Some of them."""
        some = self.stack.map(lambda _, x: type(x)(x.value[indices], x.valid[indices]))
        return self.pictures[indices], some, self.areas[indices]
