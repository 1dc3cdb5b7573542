"""`compose run SCENE --method tlam`: a scene becomes labels, labels become a picture.

The generator paints at once, in pixels. For a sampler it is a denoiser that is always sure: its
`x0` is the picture, at every level, so that any walk ends there; the base model is not asked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast, final

import torch
from torch import Tensor

from compose_core import zoo
from compose_core.codec import Identity
from compose_core.denoiser import Denoiser, State
from compose_core.evaluate import Answers, Questions
from compose_core.method import Method, Plan
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.scene import Scene
from compose_core.schedule import Level
from compose_tlam.concept import looked_at, principal
from compose_tlam.merge import TLAM, Strength
from compose_tlam.model import Painter
from compose_tlam.scene import KEYS, from_scene
from compose_tlam.stack import LabelStack

if TYPE_CHECKING:
    from compose_core.backbones import Model

__all__ = ["MODEL", "Painted", "TLAMMethod", "noise_of"]

MODEL = "tlam-tiny"
"""The painter that is taken by default."""


class _Canvas(NamedTuple):
    """What was painted, of what, and what a trace shows of it once it was asked for."""

    picture: Tensor
    concept: Tensor
    noise: Tensor | None
    shown: dict[str, Tensor]


@final
class Painted(Denoiser):
    """A picture as a denoiser: `x0` is what the painter makes of labels, at any level.

    Noise of the painter, if it takes any, is read off the noise that the walk starts from, so
    that a picture depends on its own seed only.

    Args:
        painter: Makes pictures.
        stack: The labels of one picture.
        strength: How much labels count.
    """

    def __init__(
        self, painter: Painter, stack: LabelStack, strength: Strength | None = None
    ) -> None:
        super().__init__()
        self.painter, self.stack, self.strength = painter, stack, strength

    @torch.no_grad()
    def init(self, x_t: Tensor, generator: Generators | None = None) -> State:
        """Paint."""
        batch = x_t.shape[0]
        channels = self.painter.noise_channels
        noise = noise_of(x_t, channels) if channels else None
        rows = [self.stack] * (batch if channels else 1)
        stack = LabelStack.cat(rows)
        merger = self.painter.merger
        concept = merger(stack, self.strength, noise)
        picture = self.painter.generator(concept).expand(batch, -1, -1, -1)
        return _Canvas(picture.to(x_t.dtype), concept, noise, {})

    def traced(self, state: State) -> Mapping[str, Tensor]:
        """The concept tensor as a picture, and how much each label is looked at."""
        own, merger = cast(_Canvas, state), self.painter.merger
        if not own.shown:  # the same at every step: computed once, and only for a trace
            own.shown["concept"] = principal(own.concept)
            if isinstance(merger, TLAM):
                first = None if own.noise is None else own.noise[:1]
                seen = looked_at(merger, self.stack, self.strength, first)
                own.shown["looked at"] = seen
        return own.shown

    def queries(self, x_t: Tensor, level: Level, state: State) -> Questions:
        """Nothing."""
        return ()

    def combine(self, answers: Answers, x_t: Tensor, level: Level, state: State) -> Prediction:
        """The picture."""
        return Prediction(x_t, level, cast(_Canvas, state).picture)


def noise_of(x_t: Tensor, channels: int) -> Tensor:
    """Standard normal numbers (B, channels) from noise (B, C, H, W) of any scale.

    Sums over parts of the pixels, which are normal and independent since the pixels are.

    Args:
        x_t: The noise.
        channels: At most its number of pixels and colours.
    """
    flat = x_t.float().flatten(1)
    flat = flat / flat.std(1, keepdim=True).clamp_min(1e-12)
    size = flat.shape[1] // channels
    return flat[:, : size * channels].unflatten(1, (channels, size)).sum(2) / size**0.5


@final
class TLAMMethod(Method):
    """Labels of a scene, merged and painted.

    Args:
        painter: A model of the zoo, a folder, or the model itself.
        strength: How much labels count; 1 where not named.
        drop: Labels that are left out.
    """

    name: ClassVar[str] = "tlam"
    summary: ClassVar[str] = "dense labels, any of them missing, painted by a GAN (TLAM)"
    accepts: ClassVar[frozenset[str]] = KEYS

    def __init__(
        self,
        painter: str | os.PathLike[str] | Painter = MODEL,
        *,
        strength: Strength | None = None,
        drop: Sequence[str] = (),
    ) -> None:
        self.painter = painter
        self.strength, self.drop = strength, tuple(drop)
        self._loaded: Painter | None = painter if isinstance(painter, Painter) else None

    @property
    def adapters(self) -> tuple[str | os.PathLike[str], ...]:
        """The painter."""
        return () if isinstance(self.painter, Painter) else (self.painter,)

    def load(self) -> Painter:
        """The painter, read once.

        Raises:
            UsageError, WeightsError: There is none, or it is damaged.
        """
        if self._loaded is None:
            self._loaded = Painter.load(Path(zoo.resolve(cast(str, self.painter))))
        return self._loaded

    def plan(
        self,
        scene: Scene,
        model: Model,
        *,
        device: torch.device | str,
        generator: Generators,
        guidance: float,
        steps: int,
    ) -> Plan:
        """See `Method.plan`.

        Raises:
            UsageError: A label to drop, or with a strength, is unknown.
            SceneError: The labels of the scene do not fit the painter.
            WeightsError: The painter is missing or damaged.
        """
        painter = self.load().to(device)
        stack, remarks = from_scene(scene, painter.labels)
        stack = stack.without(*self.drop)
        for name in self.strength or ():
            painter.labels.named(name)
        if self.drop and stack.empty:
            line = "no label is left: the picture is what the model paints without any"
            remarks = tuple(dict.fromkeys((*remarks, line)))
        return Plan(
            denoiser=Painted(painter, stack.to(device), self.strength),
            shape=(3, scene.height, scene.width),
            warnings=remarks,
            codec=Identity(),
        )
