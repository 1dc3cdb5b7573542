"""One noise level, and what every schedule can say about levels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compose_core.errors import ScheduleError, ShapeError


@dataclass(frozen=True, eq=False)
class Level:
    """How much picture and how much noise a sample holds: `x_t = alpha x0 + sigma eps`.

    The three tensors share one shape: `()` when the whole batch is at this level, or `(B,)` with
    one level per sample. They are kept in float64 so that conversions lose nothing; comparing two
    levels with `==` compares identity, use `same` for values.

    Attributes:
        alpha: Scale of the clean picture, >= 0.
        sigma: Standard deviation of the noise, >= 0.
        t: Time in the units of the schedule that made this level (see there).
    """

    alpha: Tensor
    sigma: Tensor
    t: Tensor

    def __post_init__(self) -> None:
        """Widen to float64 and check that the shapes agree.

        Raises:
            ScheduleError: The shapes differ or are not `()` or `(B,)`.
        """
        for name in ("alpha", "sigma", "t"):
            object.__setattr__(self, name, getattr(self, name).to(torch.float64))
        shapes = [tuple(value.shape) for value in (self.alpha, self.sigma, self.t)]
        if len(set(shapes)) != 1 or self.t.dim() > 1:
            raise ScheduleError(
                "alpha, sigma and t of a level must agree",
                got=shapes,
                expected="all () or all (B,)",
            )

    @classmethod
    def of(cls, alpha: float, sigma: float, t: float) -> Level:
        """The level with these plain numbers, shared by the whole batch."""
        return cls(*(torch.tensor(value, dtype=torch.float64) for value in (alpha, sigma, t)))

    @property
    def shape(self) -> torch.Size:
        """`()` or `(B,)`."""
        return self.t.shape

    @property
    def ratio(self) -> Tensor:
        """`sigma / alpha`, the noise level in EDM's units; infinite at pure noise."""
        return self.sigma / self.alpha

    @property
    def log_snr(self) -> Tensor:
        """`log(alpha^2 / sigma^2)`; plus or minus infinity at the ends."""
        return 2 * (self.alpha.log() - self.sigma.log())

    @property
    def is_clean(self) -> bool:
        """Whether no sample at this level holds any noise."""
        return not bool(self.sigma.any())

    def to_like(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`alpha` and `sigma`, ready to multiply `x` of shape `(B, ...)`.

        A shared level comes as 0-d float64: torch treats it like a Python number, so the dtype of
        `x` is kept and nothing is moved between devices.

        Raises:
            ShapeError: The level has a batch that is not that of `x`.
        """
        if not self.shape:
            alpha, sigma = self.alpha, self.sigma
            movable = alpha.device.type == "cpu" or alpha.device == x.device
            return (alpha, sigma) if movable else (alpha.to(x.device), sigma.to(x.device))
        if self.shape[0] not in (1, x.shape[0]):
            raise ShapeError(
                "one level per sample is needed",
                got=self.shape[0],
                expected=f"{x.shape[0]} levels",
            )
        axes = (-1,) + (1,) * (x.dim() - 1)
        return self.alpha.to(x).reshape(axes), self.sigma.to(x).reshape(axes)

    def same(self, other: Level) -> bool:
        """Whether both hold equal alpha, sigma and t."""
        mine, theirs = (self.alpha, self.sigma, self.t), (other.alpha, other.sigma, other.t)
        return all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))

    def expand(self, batch: int) -> Level:
        """This level once per sample: shape `(batch,)`.

        Raises:
            ShapeError: It already has another batch than 1 or `batch`.
        """
        if self.shape and self.shape[0] not in (1, batch):
            raise ShapeError("cannot expand a level", got=self.shape[0], expected=f"1 or {batch}")
        return Level(self.alpha.expand(batch), self.sigma.expand(batch), self.t.expand(batch))

    @staticmethod
    def cat(levels: Sequence[Level]) -> Level:
        """Levels of shape `(B_i,)` end to end (use `expand` on shared ones first)."""
        return Level(
            *(torch.cat([getattr(x, n) for x in levels]) for n in ("alpha", "sigma", "t"))
        )


class Schedule(ABC):
    """A walk from noise to picture."""

    @abstractmethod
    def level(self, t: Tensor | float) -> Level:
        """The level at time `t`, of shape `()` or `(B,)`.

        Raises:
            ScheduleError: `t` lies outside the schedule.
        """

    @abstractmethod
    def match(self, level: Level) -> Level:
        """The level of this schedule with the same `sigma / alpha`.

        A level noisier or cleaner than any of the schedule keeps its ratio exactly; only `t` stops
        at the nearest end, for it is all that a network was never trained on.

        Raises:
            ScheduleError: The level is pure noise, and this schedule never gets there.
        """

    @abstractmethod
    def levels(self, steps: int) -> tuple[Level, ...]:
        """The `steps + 1` levels of a sampler, noisy first; the last one is its result.

        Raises:
            ScheduleError: `steps` is not positive, or more than the schedule has.
        """


def as_time(t: Tensor | float) -> Tensor:
    """`t` as a float64 tensor."""
    return torch.as_tensor(t, dtype=torch.float64)


def numbers(t: Tensor) -> str:
    """The values of `t`, for a message."""
    return ", ".join(f"{float(value):.6g}" for value in t.reshape(-1))


def check_steps(steps: int, most: int | None = None) -> None:
    """Refuse a number of steps that no schedule can make.

    Raises:
        ScheduleError: Fewer than 1, or more than `most`.
    """
    if steps < 1 or (most is not None and steps > most):
        raise ScheduleError(
            "impossible number of steps",
            got=steps,
            expected="at least 1" if most is None else f"1 to {most}",
        )
