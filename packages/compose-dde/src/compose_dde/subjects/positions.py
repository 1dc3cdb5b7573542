"""Pictures with objects at several places, from a model that knows one place (section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from compose_core.denoiser import Bound, Denoiser, Network
from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError
from compose_dde.composer import DDE, guided
from compose_dde.coordinator import Coordinator
from compose_dde.domain import Domain

__all__ = ["NOWHERE", "check_positions", "expand", "marks", "nowhere"]

NOWHERE = -1.0
"""Both coordinates of the absent position."""


def expand(
    network: Network,
    coordinator: Coordinator | None,
    positions: Tensor,
    size: Sequence[int],
    *,
    w: float = 0.0,
) -> Denoiser:
    """The denoiser of pictures `(B, C, *size)` with an object at each position.

    Args:
        network: It reads `"position"`.
        coordinator: C; None averages over the conditions, as MultiDiffusion does.
        positions: `(B or 1, L, 2)`, x and y in [0, 1], x to the right and y down; negative for
            none.
        size: Cells of the picture.
        w: Weight of guidance, Eq. 6; 20 in the paper, 0 for none.

    Raises:
        ShapeError: The positions have another shape.
    """
    if positions.dim() != 3 or positions.shape[2] != 2 or not positions.shape[1]:
        raise ShapeError("positions are pairs", got=tuple(positions.shape), expected="(B, L, 2)")
    each = [Bound(network, Encoded(position=one)) for one in positions.unbind(1)]
    absent = positions.amin((1, 2)) < 0
    composed = DDE(
        each,
        Domain.conditions(size, positions.shape[1]),
        coordinator,
        maps=marks(positions, size) if coordinator is not None else None,
        null=absent,
    )
    return composed if w == 0 else guided(composed, nowhere(network), w)


def nowhere(network: Network) -> Bound:
    """The network without a condition."""
    return Bound(network, Encoded(position=torch.full((1, 2), NOWHERE)))


def marks(positions: Tensor, size: Sequence[int]) -> Tensor:
    """One-hot pictures `(B, L, 1, H, W)` of positions `(B, L, 2)`; empty where there is none."""
    height, width = size
    cells = torch.tensor([width, height], device=positions.device)
    column, row = (positions * cells).long().clamp_min(0).minimum(cells - 1).unbind(-1)
    found = positions.new_zeros(*positions.shape[:2], height * width)
    there = (positions.amin(-1, keepdim=True) >= 0).to(found)
    found.scatter_(2, (row * width + column)[..., None], there)
    return found.reshape(*positions.shape[:2], 1, height, width)


def check_positions(positions: Sequence[tuple[float, float]], apart: float = 0.0) -> None:
    """Refuse positions outside the picture, or closer than can be told apart.

    Args:
        positions: Pairs (x, y).
        apart: The least distance.

    Raises:
        UsageError: There is one; the message names it.
    """
    if any(not _is_pair(one) for one in positions):
        raise UsageError(
            "positions are pairs of numbers",
            got=list(positions),
            expected="[(x, y), ...], x and y from 0 to 1, as fractions of the picture",
        )
    for x, y in positions:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise UsageError(
                "a position lies outside the picture",
                got=(x, y),
                expected="x and y from 0 to 1, as fractions of the picture",
            )
    for i, (x, y) in enumerate(positions):
        for other in positions[:i]:
            if (gap := ((x - other[0]) ** 2 + (y - other[1]) ** 2) ** 0.5) < apart:
                raise UsageError(
                    "two positions are too close to be told apart",
                    got=f"{other} and {(x, y)}, {gap:.3f} from each other",
                    expected=f"at least {apart}",
                    remedy="move one, or leave it out: one object would do for both",
                )


def _is_pair(given: object) -> bool:
    """Whether it is two numbers, whatever the types say."""
    there = isinstance(given, tuple | list) and len(cast("list[object]", given)) == 2
    return there and all(isinstance(x, int | float) for x in cast("list[object]", given))
