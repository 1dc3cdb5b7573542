"""What the pipelines share: loading, the walk from noise, its options."""

from __future__ import annotations

import math
import os
import warnings
from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from compose_core import zoo
from compose_core.denoiser import Clipped, Denoiser
from compose_core.errors import UsageError
from compose_core.evaluate import Evaluator, Local
from compose_core.noise import Generators
from compose_core.sampler import Euler, Heun, Sampler
from compose_core.schedule import KarrasVE
from compose_dde.folder import Expansion, Subject, Walk, load_expansion
from compose_dde.known import Known

__all__ = ["DDEPipeline", "Tick"]

Tick = Callable[[int, int], None]
"""Called after each step with its number, from 1, and how many there are."""


class DDEPipeline(ABC):
    """A base model, a coordinator, a sampler.

    Args:
        expansion: The networks and their numbers.
        coordinator: Its name in the folder; the first by default, `"none"` for the plain average.
        walk: Options of the sampler; by default those of the folder.
        evaluator: How questions are answered: `Local(max_batch)`, `Distributed()`.
        tick: Hears of every step.
        warn: Receives remarks about what is given, as lines; by default they are warnings of
            Python.

    Raises:
        UsageError: The folder is for something else, or has no such coordinator.
    """

    subject: ClassVar[Subject]

    def __init__(
        self,
        expansion: Expansion,
        *,
        coordinator: str | None = None,
        walk: Walk | None = None,
        evaluator: Evaluator | None = None,
        tick: Tick | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        if expansion.subject != self.subject:
            raise UsageError(
                f"this folder is not for {self.subject}",
                got=f"a model of {expansion.subject}",
                remedy="choose another model; see `compose zoo list`",
            )
        self.expansion = expansion
        self.coordinator = expansion.coordinator(coordinator)
        self.name = coordinator or next(iter(expansion.coordinators), "none")
        self.walk = walk or expansion.walk
        self.evaluator = evaluator or Local(64)
        self.tick = tick
        self.warn = warn or _warn

    @classmethod
    def from_pretrained(
        cls, model: str | os.PathLike[str], *, device: torch.device | str = "cpu", **options: Any
    ) -> Self:
        """Load a folder, or a model of the zoo by its id.

        Args:
            model: The folder or id.
            device: Where to compute.
            **options: Those of the class; and `steps`, `w`, `churn` of its `Walk`.

        Raises:
            WeightsError: A file is missing or damaged.
            UsageError: The folder is for something else.
        """
        expansion = load_expansion(zoo.resolve(model), device)
        given = {key: options.pop(key, None) for key in ("steps", "w", "churn")}
        named: dict[str, Any] = {key: one for key, one in given.items() if one is not None}
        walk = replace(options.pop("walk", None) or expansion.walk, **named)
        return cls(expansion, walk=walk, **options)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.expansion.base.parameters()).device

    @property
    def stride(self) -> tuple[int, ...]:
        """Cells between two parts: what the coordinator was trained with.

        A folder may say so for one of its coordinators, in the fact `"strides"`.
        """
        own = self.expansion.facts.get("strides", {}).get(self.name)
        return self.expansion.stride if own is None else tuple(own)

    @property
    def grain(self) -> int:
        """Objects are made in multiples of this: whole tokens."""
        config = getattr(self.coordinator, "config", None)
        tokens = 1
        if config is not None:
            tokens = math.lcm(config.patch, config.context_patch if config.context else 1)
        return int(self.expansion.facts.get("grain", tokens))

    @property
    def sampler(self) -> Sampler:
        """EDM's Heun over Karras' levels."""
        return _sampler(self.walk)

    def run(
        self,
        denoiser: Denoiser,
        shape: Sequence[int],
        generator: Generators,
        known: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Walk from noise.

        Args:
            denoiser: What is asked.
            shape: `(B, C, *spatial)`.
            generator: The only source of randomness.
            known: Values and mask, see `Known`.

        Returns:
            `(B, C, *spatial)`, in float32 on the CPU.

        Raises:
            UsageError: B is less than 1.
        """
        if shape[0] < 1:
            raise UsageError("nothing is asked for", got=f"num = {shape[0]}", expected="1 or more")
        sampler = self.sampler
        x = sampler.initial(shape, generator, device=self.device)
        if self.walk.clip is not None:
            denoiser = Clipped(denoiser, self.walk.clip)
        if known is not None:
            denoiser = Known(denoiser, known[0].to(self.device), known[1].to(self.device))
            x = denoiser.start(x)
        total = len(sampler.levels) - 1
        steps = sampler.steps(denoiser, x, generator=generator, evaluator=self.evaluator)
        for number, moment in enumerate(steps, 1):
            x = moment.x_t
            if self.tick is not None:
                self.tick(number, total)
        return x.cpu()


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=4)


def _sampler(walk: Walk) -> Sampler:
    levels = KarrasVE(walk.sigma_min, walk.sigma_max, walk.rho).levels(walk.steps)
    if walk.method == "euler":
        return Euler(levels)
    return Heun(levels, churn=walk.churn)
