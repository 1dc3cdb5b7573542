r"""How much linear views disagree, `G` of `compose_cgi.lasso`, and what they agree on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from compose_core.compose.least_squares import agree, conjugate_gradients, partition, require_trust
from compose_core.views import View

__all__ = ["Crops", "Solved", "Terms", "wide"]

_AT_ONCE = 2**22
"""Most numbers of one chunk of the table of cells."""


class Terms(NamedTuple):
    """What the step sizes are found from.

    Attributes:
        gram: `G (B, m, m)`, float64, on the CPU.
        energy: `||eps_i||^2` under the weights, `(B, m)`, likewise.
    """

    gram: Tensor
    energy: Tensor


@final
class Crops:
    r"""Views that each show a cell at most as it is; then `N` is diagonal, and nothing is solved.

    In each cell the views that show it are known once and for all. There

    .. math:: G_{ij} = \delta_{ij} \|\epsilon_i\|^2_{W_i}
              - \sum_{cells} \frac{w_i \epsilon_i \, w_j \epsilon_j}{\sum_k w_k} .

    Args:
        views: The views, all `crops`.
        weights: `1 / psi^2` of each, float64.
        x: A sheet; its shape, dtype and device.
        gram: Whether `terms` will be asked for; its table has the size of all observations.
    """

    def __init__(
        self, views: Sequence[View], weights: Sequence[Tensor], x: Tensor, *, gram: bool = True
    ) -> None:
        self.views = tuple(views)
        shares = partition(views, weights, x)
        self.shares = tuple(w.to(x) for w in shares)
        self._raw = tuple(w.to(x.device, wide(x)) for w in weights) if gram else ()
        self._table = _table(views, weights, x) if gram else None

    def merge(self, said: Sequence[Tensor], x: Tensor) -> Tensor:
        """The weighted average in every cell (Eq. 29)."""
        return agree(self.views, self.shares, said, x)

    def terms(self, eps: Sequence[Tensor]) -> Terms:
        """`G` and the energies of what was said."""
        assert self._table is not None
        pulled = [w * e.to(w.dtype) for w, e in zip(self._raw, eps, strict=True)]
        energy = torch.stack(
            [(p * e).flatten(1).sum(1) for p, e in zip(pulled, eps, strict=True)], 1
        )
        flat = torch.cat([p.flatten(2) for p in pulled], 2)
        flat = torch.cat([flat, flat.new_zeros((*flat.shape[:2], 1))], 2)
        agreed = self._table.products(flat, len(eps))
        gram = torch.diag_embed(energy) - agreed
        return Terms(gram.detach().double().cpu(), energy.detach().double().cpu())


@final
class Solved:
    """Any linear views: every column of the agreement is a solve by conjugate gradients.

    Args:
        views: The views.
        weights: `1 / psi^2` of each, float64.
        x: A sheet; its shape, dtype and device.
    """

    def __init__(self, views: Sequence[View], weights: Sequence[Tensor], x: Tensor) -> None:
        require_trust(views, weights, x)
        self.views = tuple(views)
        self.weights = tuple(w.to(x.device, wide(x)) for w in weights)

    def merge(self, said: Sequence[Tensor], x: Tensor) -> Tensor:
        """The least-squares canvas; where views leave a direction open, nothing in it."""
        return agree(self.views, self.weights, said, x)

    def terms(self, eps: Sequence[Tensor], x: Tensor) -> tuple[Terms, list[Tensor]]:
        """`G`, the energies, and the columns `N^+ A_i' W_i eps_i`, which add up by lambda."""
        spatial, batch = x.shape[2:], len(x)
        said = [e.to(wide(x)) for e in eps]
        pulled = [w * e for w, e in zip(self.weights, said, strict=True)]
        targets = [v.adjoint(p, spatial) for v, p in zip(self.views, pulled, strict=True)]

        def normal(z: Tensor) -> Tensor:
            total = torch.zeros_like(z)
            for view, w in zip(self.views, self.weights, strict=True):
                total = view.accumulate(total, w * view.observe(z), spatial)
            return total

        columns = list(conjugate_gradients(normal, torch.cat(targets)).split(batch))
        energy = torch.stack(
            [(p * e).flatten(1).sum(1) for p, e in zip(pulled, said, strict=True)], 1
        )
        inner = [torch.stack([(t * c).flatten(1).sum(1) for c in columns], 1) for t in targets]
        gram = torch.diag_embed(energy) - torch.stack(inner, 1)
        return Terms(gram.detach().double().cpu(), energy.detach().double().cpu()), columns


class _Table(NamedTuple):
    """In each cell, the places (N, k) among all observed cells that show it, and their views."""

    places: Tensor
    owners: Tensor
    total: Tensor

    def products(self, flat: Tensor, count: int) -> Tensor:
        """The sums over cells of products of what the views pull there, `(B, count, count)`."""
        batch, channels, _ = flat.shape
        found = flat.new_zeros((batch, count * count))
        cells, width = self.places.shape
        chunk = max(_AT_ONCE // (batch * (channels + width) * width), 1)
        for start in range(0, cells, chunk):
            at = slice(start, start + chunk)
            seen = flat[..., self.places[at]]  # (B, C, n, k)
            pairs = torch.einsum("bcnk,bcnl->bnkl", seen, seen) / self.total[at, None, None]
            owners = self.owners[at]
            where = (owners[:, :, None] * count + owners[:, None, :]).flatten()
            found.index_add_(1, where, pairs.flatten(1))
        return found.reshape(batch, count, count)


def _table(views: Sequence[View], weights: Sequence[Tensor], x: Tensor) -> _Table:
    """Where every cell of the sheet is seen; a crop shows the numbers of its cells."""
    spatial = x.shape[2:]
    count = spatial.numel()
    numbers = torch.arange(1, count + 1, dtype=torch.float64).reshape(1, 1, *spatial)
    shown = [view.observe(numbers).flatten().long() - 1 for view in views]
    cell = torch.cat(shown)
    owner = torch.cat([torch.full_like(at, i) for i, at in enumerate(shown)])
    trust = torch.cat([w.expand(1, 1, *w.shape[2:]).flatten() for w in weights])
    order = torch.argsort(cell, stable=True)
    seen = torch.bincount(cell, minlength=count)
    rank = torch.arange(len(cell)) - (seen.cumsum(0) - seen)[cell[order]]
    width = int(seen.max())
    places = torch.full((count, width), len(cell))
    owners = torch.zeros((count, width), dtype=torch.long)
    places[cell[order], rank] = order
    owners[cell[order], rank] = owner[order]
    total = torch.zeros(count, dtype=torch.float64).index_add_(0, cell, trust)
    return _Table(places.to(x.device), owners.to(x.device), total.to(x.device, wide(x)))


def wide(x: Tensor) -> torch.dtype:
    """float64 where the device has it: disagreement is a small difference of large sums."""
    return torch.float32 if x.device.type == "mps" else torch.float64
