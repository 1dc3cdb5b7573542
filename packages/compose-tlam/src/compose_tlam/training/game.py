"""Generator against discriminator, as one task with one loss.

Both losses are summed; each moves its own networks only, since the discriminator is frozen while
it judges for the generator, and what it judges for itself is detached. Both then step at once,
from one pass through merger and generator, where the codes that the paper follows step one after
the other and pass twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, final

import torch
from torch import Generator, LongTensor, Tensor, nn

from compose_core.errors import UsageError
from compose_core.train import Task
from compose_tlam import losses
from compose_tlam.generators import Discriminator
from compose_tlam.labels import LabelSet
from compose_tlam.merge import Concatenation
from compose_tlam.model import Painter
from compose_tlam.sparsity import drop
from compose_tlam.stack import LabelStack, Layer

__all__ = ["Game", "GameTask", "Samples", "discriminator_for", "pack", "unpack"]


class Samples(Protocol):
    """Pictures with labels, by number."""

    labels: LabelSet

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __call__(self, indices: LongTensor) -> tuple[Tensor, LabelStack, Tensor]:
        """Pictures (B, 3, H, W) in [-1, 1], their labels, and the areas (B, H, W) of these."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Game:
    """How the game is played.

    Attributes:
        sparsity: S, the probability that a label is missing in an area.
        variable: Whether each picture has its own sparsity, even in [0, `sparsity`].
        whole: Probability that a label is missing everywhere.
        matching: Weight of feature matching.
        perceptual: Weight of the perceptual loss.
        d_condition: What the discriminator sees beside a picture: the concept tensor (the text
            of the paper), or the labels themselves with where they are valid (its figure 3).
        d_concept_grad: Whether the merger may change the concepts that the discriminator sees in
            order to please it.
        discriminator_rate: Learning rate of the discriminator over that of the run.
    """

    sparsity: float = 0.0
    variable: bool = False
    whole: float = 0.0
    matching: float = 10.0
    perceptual: float = 10.0
    d_condition: Literal["concept", "labels"] = "concept"
    d_concept_grad: bool = False
    discriminator_rate: float = 4.0

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be played with.

        Raises:
            UsageError: Naming them.
        """
        if not (0 <= self.sparsity <= 1 and 0 <= self.whole <= 1):
            raise UsageError("sparsity is a probability", got=(self.sparsity, self.whole))
        if self.d_condition not in ("concept", "labels"):
            raise UsageError(
                "unknown condition", got=self.d_condition, expected="concept or labels"
            )
        if self.d_concept_grad and self.d_condition == "labels":
            raise UsageError("labels have no gradient", got="d_concept_grad with labels")


def discriminator_for(painter: Painter, game: Game, **options: int) -> Discriminator:
    """A discriminator with as many inputs as the game shows it; `options` as it takes them."""
    merger = painter.merger
    shown = Concatenation(merger.labels, bits=True) if game.d_condition == "labels" else merger
    return Discriminator(shown.width + 3, **options)


@final
class GameTask(Task):
    """A painter and its discriminator on pictures with labels.

    Args:
        painter: What is trained.
        discriminator: Its opponent, of `discriminator_for`.
        samples: The data.
        game: How it is played.
        trunk: For the perceptual loss; None for none.
    """

    def __init__(
        self,
        painter: Painter,
        discriminator: Discriminator,
        samples: Samples,
        game: Game,
        trunk: losses.Trunk | None = None,
    ) -> None:
        self.painter, self.discriminator = painter, discriminator
        self.samples, self.game, self.trunk = samples, game, trunk
        self.raw = Concatenation(painter.labels, bits=True)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Painter and discriminator."""
        return {"painter": self.painter, "discriminator": self.discriminator}

    @property
    def rates(self) -> Mapping[str, float]:
        """Two time scales."""
        return {"discriminator": self.game.discriminator_rate}

    @property
    def size(self) -> int:
        """All samples, plain and mirrored."""
        return 2 * len(self.samples)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Pictures, labels, validity and areas; the second half of the numbers is mirrored."""
        count = len(self.samples)
        number: LongTensor = indices % count  # type: ignore[assignment]
        pictures, stack, regions = self.samples(number)
        mirrored = indices >= count
        packed = {"picture": pictures, "areas": regions, **pack(stack)}
        turned = {"picture": pictures.flip(-1), "areas": regions.flip(-1), **pack(stack.flip())}
        return {
            name: torch.where(mirrored.view(-1, *[1] * (value.dim() - 1)), turned[name], value)
            for name, value in packed.items()
        }

    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """What the generator loses and what the discriminator loses."""
        real = batch["picture"]
        stack = self._thinned(unpack(self.painter.labels, batch), batch["areas"], generator)
        # Matrices of 24 x 24 gain nothing from half precision, and casts cost.
        with torch.autocast(real.device.type, enabled=False):
            concept = self.painter.merger(stack, None, self._noise(len(real), generator))
        fake = self.painter.generator(concept)
        condition = concept if self.game.d_condition == "concept" else self.raw(stack)
        seen = condition if self.game.d_concept_grad else condition.detach()

        fixed = condition.detach()
        judged = self.discriminator(fixed.repeat(2, 1, 1, 1), torch.cat([fake.detach(), real]))
        count = len(real)
        on_fake = [[maps[:count] for maps in scale] for scale in judged]
        on_real = [[maps[count:] for maps in scale] for scale in judged]
        own = losses.hinge(on_real, on_fake)
        with _frozen(self.discriminator):
            answered = self.discriminator(seen, fake)
        parts = {
            "fooling": losses.generator_hinge(answered),
            "matching": self.game.matching * losses.feature_matching(on_real, answered),
        }
        if self.trunk is not None and self.game.perceptual:
            parts["perceptual"] = self.game.perceptual * losses.perceptual(self.trunk, fake, real)
        total = torch.stack([part.float() for part in (*parts.values(), own)]).sum()
        logs = {name: float(part.detach()) for name, part in parts.items()}
        return total, {**logs, "discriminator": float(own.detach())}

    def _thinned(self, stack: LabelStack, regions: Tensor, generator: Generator) -> LabelStack:
        if not self.game.sparsity and not self.game.whole:
            return stack
        share: float | Tensor = self.game.sparsity
        if self.game.variable:
            count = stack.shape[0]
            share = share * torch.rand(count, generator=generator, device=generator.device)
        return drop(stack, regions, share, generator, whole=self.game.whole)

    def _noise(self, count: int, generator: Generator) -> Tensor | None:
        channels = self.painter.noise_channels
        if not channels:
            return None
        return torch.randn(count, channels, generator=generator, device=generator.device)


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Gradients flow through, but not into the weights."""
    asked = [p for p in module.parameters() if p.requires_grad]
    for parameter in asked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)


def pack(stack: LabelStack) -> dict[str, Tensor]:
    """The maps of a stack as named tensors."""
    found: dict[str, Tensor] = {}
    for name, layer in stack.layers.items():
        found[f"label.{name}"], found[f"valid.{name}"] = layer.value, layer.valid
    return found


def unpack(labels: LabelSet, batch: Mapping[str, Tensor]) -> LabelStack:
    """What `pack` packed."""
    names = [name for name in labels.names if f"label.{name}" in batch]
    return LabelStack(
        labels, {name: Layer(batch[f"label.{name}"], batch[f"valid.{name}"]) for name in names}
    )
