"""Large pictures of large maps, from a model of small ones (section 4.3)."""

from __future__ import annotations

from torch import Tensor

from compose_core.compose.least_squares import Weights
from compose_core.denoiser import Bound, Denoiser, Network
from compose_core.encoded import Encoded
from compose_dde.composer import DDE, guided
from compose_dde.coordinator import Coordinator
from compose_dde.domain import Domain

__all__ = ["expand"]


def expand(
    network: Network,
    coordinator: Coordinator | None,
    chart: Tensor,
    window: int,
    stride: int,
    *,
    w: float = 0.0,
    weights: Weights = "mean",
) -> Denoiser:
    """The denoiser of pictures `(B, C, H, W)` of a map.

    Args:
        network: It reads `"map"`.
        coordinator: C, which hears the whole map if it was made for one; None for the overlap
            average of MultiDiffusion.
        chart: The map `(B or 1, E, H, W)`.
        window: Cells of a part on each axis; 64 in the paper.
        stride: Cells between two parts; 32 in the paper.
        w: Weight of guidance away from the empty map; none in the paper.
        weights: The trust in each cell of a part.

    Raises:
        UsageError: The map is smaller than a part, or parts leave gaps.
    """
    domain = Domain.grid(chart.shape[2:], window, stride)
    each = [Bound(network, Encoded(map=view.observe(chart))) for view in domain.views]
    context = chart if coordinator is not None else None
    composed = DDE(each, domain, coordinator, weights=weights, context=context)
    return composed if w == 0 else guided(composed, Bound(network), w)
