"""Fixed ways to make one object of many parts.

MultiDiffusion (Bar-Tal et al. 2023) is a `DDE` without a coordinator; its weights may be any
profile of core (`"mean"`, `"hann"`, `"gaussian"`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from compose_core.compose import Product
from compose_core.denoiser import Bound, Network
from compose_core.encoded import Encoded
from compose_core.errors import UsageError
from compose_dde.composer import DDE
from compose_dde.domain import Domain
from compose_dde.subjects.positions import nowhere

__all__ = ["concat", "product", "swap"]


def concat(network: Network, size: int, window: int) -> DDE:
    """Parts beside each other that know nothing of one another (section 4.1).

    Raises:
        UsageError: The whole is no whole number of parts.
    """
    if size % window:
        raise UsageError(
            "parts laid end to end do not fill the whole",
            got=f"{size} cells",
            expected=f"a multiple of {window}",
            remedy="make it longer, and cut the end off",
        )
    return DDE(Bound(network), Domain.chain(size, window, window))


def product(network: Network, positions: Tensor, w: float = 4.0) -> Product:
    r"""Eq. 7, the composition of "Reduce, Reuse, Recycle" (Du et al. 2023).

    .. math:: D(x, \varnothing) + w \sum_i (D(x, c_i) - D(x, \varnothing))

    Args:
        network: It reads `"position"`.
        positions: `(B or 1, L, 2)`.
        w: The weight; 4 in the published code.
    """
    each = [Bound(network, Encoded(position=one)) for one in positions.unbind(1)]
    return Product([nowhere(network), *each], [w] * len(each))


def swap(domain: Domain, every: int = 1) -> list[Tensor]:
    """Weights under which overlapping parts take turns instead of being averaged.

    The idea of latent swapping (SaFa): the mean of two parts that disagree loses their fine
    detail, a cell of either does not. Runs of `every` cells belong to each in turn; on several
    axes they are squares of a checkerboard.

    Args:
        domain: The parts.
        every: Cells of a run.

    Returns:
        Zeros and ones for each part, of the shape of its window; one part for each cell.
    """
    if every < 1:
        raise UsageError("runs have at least one cell", got=every)
    seen = torch.stack([view.weight(domain.size) > 0 for view in domain.views])
    squares = torch.zeros(domain.size, dtype=torch.long)
    for axis, cells in enumerate(domain.size):
        run = torch.arange(cells) // every
        squares = squares + run.reshape([-1 if a == axis else 1 for a in range(domain.axes)])
    turn = squares % seen.sum(0)
    mine = seen & (seen.cumsum(0) - 1 == turn)
    pairs = zip(domain.views, mine, strict=True)
    return [view.observe(own.double()[None, None]) for view, own in pairs]
