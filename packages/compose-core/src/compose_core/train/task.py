"""What is trained, and how: `Task` and `TrainConfig` go in, `Progress` comes out.

A task owns its networks and its data; the loop owns time (steps, learning rate, checkpoints). The
loop never looks inside a batch, so one loop serves autoencoders, denoisers and contrastive towers.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import cos, pi
from typing import Literal, get_args

from torch import Generator, LongTensor, Tensor, nn

from compose_core.errors import UsageError

Precision = Literal["no", "bf16", "fp16"]
Decay = Literal["cosine", "linear", "none"]


class Task(ABC):
    """Networks to train, data to train them on and a loss.

    `batch` must be a pure function of its indices (seed every random choice by the index): then
    the position in the data is one number, and a resumed run repeats the interrupted one bit for
    bit.
    """

    @property
    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """The networks that are trained, averaged and saved, by name; frozen ones stay out."""

    @property
    def rates(self) -> Mapping[str, float]:
        """Learning rates of modules over that of the run; 1 for those that are not named."""
        return {}

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of samples in one epoch."""

    @abstractmethod
    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """The samples of ``indices`` (B,), on any device, each tensor with the batch in front."""

    @abstractmethod
    def loss(
        self, batch: dict[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The mean loss (a scalar) of a batch on the training device, and numbers for the log.

        All randomness (noise, levels, dropped captions) comes from ``generator``, which lives on
        the training device and is seeded by (seed, step, micro-batch, process). The names of the
        numbers must be the same in all processes.
        """

    def validate(self, modules: Mapping[str, nn.Module]) -> dict[str, float]:
        """Scores of the averaged ``modules`` (evaluation mode, no gradients); none by default.

        The first process validates, the others wait. They give up after the timeout of their
        group (for NCCL 10 minutes), which accelerate's `InitProcessGroupKwargs` can raise.
        """
        del modules
        return {}

    def pictures(self, modules: Mapping[str, nn.Module]) -> Tensor | None:
        """Pictures (N, 3, H, W) in [-1, 1] made with the averaged ``modules``; none by default."""
        del modules
        return None


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The numbers of one training run.

    Attributes:
        steps: optimiser steps in the whole run.
        batch_size: samples per micro-batch over all processes together; each takes an equal share.
        lr: peak learning rate.
        seed: fixes the data order, the loss noise and dropout.
        warmup: steps of linear warm-up.
        decay: shape of the last phase, which ends at zero.
        hold: fraction of the steps after which the decay begins.
        weight_decay: decoupled decay (AdamW) of matrices and filters; vectors are not decayed.
        betas: AdamW's moment decays.
        ema: decay of the averaged weights; 0 makes them equal the trained ones.
        clip: largest gradient norm; 0 leaves gradients alone.
        accumulate: micro-batches per optimiser step.
        precision: autocast type of the forward pass; weights stay float32.
        checkpoint_every: steps between checkpoints; 0 saves at the end only.
        keep: checkpoints that stay on disk.
        validate_every: steps between validations; 0 never validates.
        channels_last: memory format of 4-D weights and inputs (faster convolutions).
        tensorboard: also write TensorBoard events into ``<folder>/tensorboard``.
    """

    steps: int
    batch_size: int
    lr: float
    seed: int = 0
    warmup: int = 100
    decay: Decay = "cosine"
    hold: float = 0.5
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    ema: float = 0.999
    clip: float = 1.0
    accumulate: int = 1
    precision: Precision = "no"
    checkpoint_every: int = 1000
    keep: int = 2
    validate_every: int = 0
    channels_last: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that cannot train.

        Raises:
            UsageError: naming the field.
        """
        positive = ("steps", "batch_size", "accumulate", "keep")
        natural = ("seed", "warmup", "weight_decay", "clip", "checkpoint_every", "validate_every")
        for name in positive:
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in natural:
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        _require(self.lr > 0, "lr", self.lr, "more than 0")
        _require(0 <= self.ema < 1, "ema", self.ema, "in [0, 1)")
        _require(0 <= self.hold <= 1, "hold", self.hold, "in [0, 1]")
        for name, kind in (("precision", Precision), ("decay", Decay)):
            choices = get_args(kind)
            got = getattr(self, name)
            _require(got in choices, name, got, f"one of {choices}")

    @property
    def samples_per_step(self) -> int:
        """Samples that one optimiser step consumes, over all processes."""
        return self.batch_size * self.accumulate

    def lr_at(self, step: int) -> float:
        """The learning rate of optimiser step ``step`` (from 0): warm-up, constant, decay to 0."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        start = self.hold * self.steps
        if self.decay == "none" or step < start:
            return self.lr * rise
        done = min(1.0, (step - start) / max(self.steps - start, 1e-9))
        fall = (1 + cos(pi * done)) / 2 if self.decay == "cosine" else 1 - done
        return self.lr * rise * fall


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The state after one optimiser step.

    Attributes:
        step: steps done so far, from 1.
        total: steps of the whole run.
        loss: mean over micro-batches and processes.
        lr: learning rate of this step.
        logs: the numbers that the task's loss returned, averaged in the same way, and
            ``grad_norm``.
        seconds: training time so far, earlier runs of the same folder included.
        ema_modules: the averaged networks, in evaluation mode. They are live: copy what must last.
        validation: the task's scores, where this step validated.
    """

    step: int
    total: int
    loss: float
    lr: float
    logs: Mapping[str, float]
    seconds: float
    ema_modules: Mapping[str, nn.Module] = field(repr=False)
    validation: Mapping[str, float] | None = None


def _require(good: bool, name: str, got: object, expected: str) -> None:
    if not good:
        raise UsageError(f"Training cannot start: bad `{name}`.", got=got, expected=expected)
