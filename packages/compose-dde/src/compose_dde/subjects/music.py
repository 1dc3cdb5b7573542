"""Long music from a model of short pieces (section 4.1)."""

from __future__ import annotations

from compose_core.compose.least_squares import Weights
from compose_core.denoiser import Bound, Network
from compose_dde.composer import DDE
from compose_dde.coordinator import Coordinator
from compose_dde.domain import Domain

__all__ = ["expand"]


def expand(
    network: Network,
    coordinator: Coordinator | None,
    size: int,
    window: int,
    stride: int,
    *,
    loop: bool = False,
    weights: Weights = "mean",
) -> DDE:
    """The denoiser of a long sound `(B, S, size)`.

    Args:
        network: Of sounds of `window` samples.
        coordinator: C; None for the overlap average of MultiDiffusion.
        size: Samples of the whole.
        window: Samples of a part; in the paper 2^18, about 12 seconds.
        stride: Samples between two parts; in the paper three quarters of that.
        loop: Whether the end continues at the beginning.
        weights: The trust in each sample of a part.

    Raises:
        UsageError: The whole is shorter than a part, or parts leave gaps.
    """
    domain = Domain.ring(size, window, stride) if loop else Domain.chain(size, window, stride)
    return DDE(Bound(network), domain, coordinator, weights=weights)
