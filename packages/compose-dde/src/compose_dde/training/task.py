r"""The denoising loss of a part, or of a large object through a composite denoiser.

.. math:: E_{\sigma, X, \epsilon}\, \lambda(\sigma) \| D(X + \epsilon, Y, \sigma) - X \|^2

Eq. 1 where `D` is the base model, Eq. 5 where it is the composite of Eq. 4. The base model under a
coordinator is asked without gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, final

import torch
from torch import LongTensor, Tensor, nn

from compose_core.denoiser import Answers, Denoiser, Questions
from compose_core.evaluate import Local
from compose_core.schedule import Level
from compose_core.train import Task
from compose_dde.precondition import Precondition, Spread
from compose_dde.training.poses import Pose

__all__ = ["Data", "DenoisingTask"]


class Data(Protocol):
    """What a task is trained on."""

    def __len__(self) -> int:
        """Samples of one epoch."""
        ...

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Samples by number, a pure function of it; a pose says which tensors it reads."""
        ...


@final
class DenoisingTask(Task):
    """Train what a pose poses.

    Args:
        pose: Batch to clean object and denoiser.
        data: To train on.
        sigma_data: Of the data, for the weight of a noise level.
        spread: Noise levels of training.
        held_out: To validate on; None validates nothing.
        validated: How many of these.
        max_batch: The most rows of one call of a frozen base model.
    """

    def __init__(
        self,
        pose: Pose,
        data: Data,
        *,
        sigma_data: float,
        spread: Spread,
        held_out: Data | None = None,
        validated: int = 32,
        max_batch: int | None = None,
    ) -> None:
        self.pose = pose
        self.data = data
        self.held_out = held_out
        self.validated = validated
        self.precondition = Precondition(sigma_data)
        self.spread = spread
        self._ask = Local(max_batch)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """What the pose trains."""
        return self.pose.modules

    @property
    def size(self) -> int:
        """Samples of one epoch."""
        return len(self.data)

    def batch(self, indices: LongTensor) -> dict[str, Tensor]:
        """Samples by number."""
        return self.data.batch(indices)

    def loss(
        self, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch, each sample at a noise level of its own."""
        x, denoiser = self.pose.pose(batch, generator, self.modules)
        level = self.spread.draw(x.shape[0], generator)
        errors = self._errors(denoiser, x, level, generator)
        loss = errors.mean()
        return loss, {"unweighted": float((errors.detach() * self._least(level, errors)).mean())}

    @torch.no_grad()
    def validate(self, modules: Mapping[str, nn.Module]) -> dict[str, float]:
        """The loss of held out samples at even quantiles of the levels, always the same ones.

        With a coordinator also the loss of the plain overlap average, which it has to beat.
        """
        if self.held_out is None:
            return {}
        count = min(self.validated, len(self.held_out))
        device = next(next(iter(modules.values())).parameters()).device
        found: dict[str, float] = {}
        for name, plain in (("loss", False), ("loss_of_the_mean", True)):
            if plain and not self.pose.frozen:
                continue
            errors: list[Tensor] = []
            levels = self.spread.even(count)
            for start in range(0, count, 4):
                rows = slice(start, min(start + 4, count))
                generator = torch.Generator(device).manual_seed(start)
                numbers: LongTensor = torch.arange(rows.start, rows.stop)  # type: ignore
                batch = {k: v.to(device) for k, v in self.held_out.batch(numbers).items()}
                given = {} if plain else modules
                x, denoiser = self.pose.pose(batch, generator, given)
                level = Level(levels.alpha[rows], levels.sigma[rows], levels.t[rows])
                errors.append(self._errors(denoiser, x, level, generator))
            found[name] = float(torch.cat(errors).mean())
        return found

    def _errors(
        self, denoiser: Denoiser, x: Tensor, level: Level, generator: torch.Generator
    ) -> Tensor:
        """Weighted squared error of each sample `(B,)`, in float32."""
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        _, sigma = level.to_like(x)
        evaluator = self._frozen if self.pose.frozen else self._ask
        x0 = denoiser(x + sigma * noise, level, evaluator=evaluator).x0
        weight = self.precondition.weight(level).to(x.device, torch.float32)
        return weight * (x0.float() - x.float()).square().flatten(1).mean(1)

    def _frozen(self, questions: Questions) -> Answers:
        with torch.no_grad():
            return self._ask(questions)

    def _least(self, level: Level, like: Tensor) -> Tensor:
        return 1 / self.precondition.weight(level).to(like)
