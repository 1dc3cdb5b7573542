"""Diffusion domain expansion as a composer: parts are asked, coordinated, merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from compose_core.compose import Composer, agree, partition, raw_weights
from compose_core.compose.least_squares import Weights
from compose_core.denoiser import Bound, Denoiser, Guided
from compose_core.errors import ShapeError, UsageError
from compose_core.noise import Generators
from compose_core.prediction import Prediction
from compose_core.schedule import Level
from compose_dde.coordinator.interface import Coordinator, Heard
from compose_dde.domain import Domain

__all__ = ["DDE", "guided"]


@dataclass(frozen=True, eq=False)
class _Own:
    """What is prepared once: the shares of the views, and what the coordinator needs."""

    shares: tuple[Tensor, ...]
    prepared: Any


@final
class DDE(Composer):
    r"""The composite denoiser of Eq. 4.

    .. math:: D_{[L]}(X, Y, t) = C_{[L]}([D(x_i, y_i, t)]_{i=1}^L, [y_i]_{i=1}^L, t)

    The parts are asked about their views, the coordinator changes their answers, and where views
    overlap the mean is taken (Fig. 1). Without a coordinator, or with an untrained one, this is
    the overlap average of MultiDiffusion, to the bit.

    Args:
        parts: One denoiser for each part of the domain, or a single one for all.
        domain: The large object and its parts.
        coordinator: C; None for none.
        weights: The trust in each cell of a part, as in `compose_core.compose.Consensus`.
        maps: See `Heard`; `(B or 1, L, E, *window)`.
        context: See `Heard`; `(B or 1, E, *size)`.
        null: See `Heard`; a bool for all samples, or `(B,)`.

    Raises:
        UsageError: There is not one part per view.
        ShapeError: When the state is made: the sample has not the size of the domain.
    """

    def __init__(
        self,
        parts: Denoiser | Sequence[Denoiser],
        domain: Domain,
        coordinator: Coordinator | None = None,
        *,
        weights: Weights = "mean",
        maps: Tensor | None = None,
        context: Tensor | None = None,
        null: bool | Tensor = False,
    ) -> None:
        super().__init__([parts] * len(domain) if isinstance(parts, Denoiser) else parts)
        if len(self.parts) != len(domain):
            raise UsageError(
                "a domain needs one part per view",
                got=f"{len(self.parts)} parts, {len(domain)} views",
            )
        self.domain = domain
        self.coordinator = coordinator
        self.weights: Weights = weights
        self.maps = maps
        self.context = context
        self.null = torch.tensor([null]) if isinstance(null, bool) else null

    def inputs(self, x_t: Tensor) -> Sequence[Tensor]:
        """What each view shows; equal views give the same object."""
        seen = {view: view.observe(x_t) for view in dict.fromkeys(self.domain.views)}
        return [seen[view] for view in self.domain.views]

    def init_own(self, x_t: Tensor, generator: Generators | None) -> _Own:
        """Shares of the views and positions of their tokens, prepared once."""
        if tuple(x_t.shape[2:]) != self.domain.size:
            raise ShapeError(
                "a sample has not the size of the domain",
                got=tuple(x_t.shape[2:]),
                expected=self.domain.size,
            )
        views = self.domain.views
        shares = partition(views, raw_weights(views, self.weights, x_t), x_t)
        like = x_t if x_t.dtype == torch.float64 else x_t.float()
        prepared = (
            None if self.coordinator is None else self.coordinator.prepare(self.domain, like)
        )
        return _Own(tuple(share.to(x_t) for share in shares), prepared)

    def merge(
        self, predictions: Sequence[Prediction], x_t: Tensor, level: Level, own: _Own
    ) -> Prediction:
        """Coordinate, then take the mean where parts overlap."""
        said: Sequence[Tensor] = [one.x0 for one in predictions]
        if self.coordinator is not None:
            heard = Heard(
                x0=torch.stack(list(said), 1),
                x_t=torch.stack([one.x_t for one in predictions], 1),
                level=level,
                maps=self.maps,
                context=self.context,
                null=self.null,
            )
            said = self.coordinator(heard, own.prepared).unbind(1)
        return Prediction(x_t, level, agree(self.domain.views, own.shares, said, x_t))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DDE:
        # Pictures that the coordinator hears are neither parameters nor buffers.
        super()._apply(fn, recurse)
        self.maps = None if self.maps is None else fn(self.maps)
        self.context = None if self.context is None else fn(self.context)
        return self


def guided(composed: DDE, null: Bound, w: float) -> Denoiser:
    r"""Guidance of the coordinated model (Eq. 6).

    .. math:: (1 + w) C([D(x, c_i)], [c_i]) - w C([D(x, \varnothing)], [\varnothing])

    The unconditional model is asked once for each different view, so for a set of `L` conditions
    on one object the network answers `L + 1` questions.

    Args:
        composed: The conditional side.
        null: The same network without a condition.
        w: The weight; 20 in the paper, 0 asks no unconditional question.
    """
    maps = None if composed.maps is None else torch.zeros_like(composed.maps)
    context = None if composed.context is None else torch.zeros_like(composed.context)
    without = DDE(
        null,
        composed.domain,
        composed.coordinator,
        weights=composed.weights,
        maps=maps,
        context=context,
        null=True,
    )
    return Guided(composed, without, 1 + w)
