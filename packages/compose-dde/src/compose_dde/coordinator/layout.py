"""Where tokens are and who hears whom: what of a domain attention needs, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from compose_core.errors import ShapeError
from compose_dde.domain import Domain
from compose_dde.rope import angles

__all__ = ["Group", "Layout", "lay_out", "pooled"]


@final
@dataclass(frozen=True, eq=False)
class Group:
    """Windows that hear equally many others, so that no mask is needed.

    Attributes:
        members: `(G,)`, the windows.
        near: `(G, n)`, whom they hear token by token.
        turns: cos and sin `(G, n, 1, 1, d / 2)` of what near ones are turned by beside their own
            position, where the way to one crosses a seam; None for nowhere.
        far: `(G, m)`, whom they hear in summary.
        far_turns: Likewise for these.
    """

    members: Tensor
    near: Tensor
    turns: tuple[Tensor, Tensor] | None
    far: Tensor
    far_turns: tuple[Tensor, Tensor] | None


@final
@dataclass(frozen=True, eq=False)
class Layout:
    """Positions and neighbourhoods of the token stream `(B, W, S, d)`.

    With full attention all parts are one window, `W = 1`; else `W = L`.

    Attributes:
        domain: What was laid out.
        tokens: Tokens of the object in each window of the stream; context comes after them.
        cos: `(W, S, 1, d / 2)`; how queries and keys are turned.
        sin: Likewise.
        groups: Who hears whom.
        summary: cos and sin `(W, g, 1, d / 2)` of summaries; None when there are none.
    """

    domain: Domain
    tokens: int
    cos: Tensor
    sin: Tensor
    groups: tuple[Group, ...]
    summary: tuple[Tensor, Tensor] | None


def lay_out(
    domain: Domain,
    positions: Tensor,
    context: Tensor | None,
    head_dim: int,
    patch: int,
    reach: int | None,
    summaries: int,
    like: Tensor,
) -> Layout:
    """The layout of a domain.

    Args:
        domain: The domain.
        positions: `(L, T, axes)` of its tokens, in patches.
        context: Positions of context tokens: `(M, axes)` with full attention, `(L, M, axes)` with
            local; None for none.
        head_dim: Dimensions of a head.
        patch: Cells of a token on each axis.
        reach: How many hops a window hears; None for all of them.
        summaries: Summaries of each window that is farther away.
        like: Device and dtype of the result.
    """

    def turned(where: Tensor, period: Sequence[float | None] | None = None) -> list[Tensor]:
        by = angles(where, head_dim, period)
        return [part.to(like.device, like.dtype) for part in (by.cos(), by.sin())]

    if reach is None:
        seams = zip(domain.size, domain.wrap, strict=True)
        period = [cells / patch if closed else None for cells, closed in seams]
        stream = positions.flatten(0, 1)
        tokens = stream.shape[0]
        stream = stream if context is None else torch.cat([stream, context])
        cos, sin = turned(stream[None], period)
        everyone = torch.zeros(1, dtype=torch.long, device=like.device)
        group = Group(everyone, everyone[None], None, everyone[None, :0], None)
        return Layout(domain, tokens, cos[:, :, None], sin[:, :, None], (group,), None)
    stream = positions if context is None else torch.cat([positions, context], 1)
    cos, sin = turned(stream)
    middle = pooled(positions, summaries) if summaries else None
    summary = None if middle is None else [part[:, :, None] for part in turned(middle)]
    return Layout(
        domain,
        positions.shape[1],
        cos[:, :, None],
        sin[:, :, None],
        tuple(_groups(domain, reach, summaries > 0, lambda cells: turned(cells / patch), like)),
        None if summary is None else (summary[0], summary[1]),
    )


def pooled(x: Tensor, count: int) -> Tensor:
    """Means `(..., count, *)` over equal runs of tokens `(W, T, *)`.

    Raises:
        ShapeError: The tokens cannot be shared evenly.
    """
    if x.shape[1] % count:
        raise ShapeError(
            "the tokens of a window cannot be summarised evenly",
            got=f"{x.shape[1]} tokens in {count} summaries",
            expected=f"a divisor of {x.shape[1]}",
        )
    return x.unflatten(1, (count, -1)).mean(2)


def _groups(
    domain: Domain, reach: int, far: bool, turned: Callable[[Tensor], list[Tensor]], like: Tensor
) -> Iterator[Group]:
    """Windows with equally many neighbours, together."""
    split = [
        ([one for one in row if one.hops <= reach], [one for one in row if one.hops > reach])
        for row in domain.neighbours()
    ]
    alike: dict[tuple[int, int], list[int]] = {}
    for window, (near, distant) in enumerate(split):
        alike.setdefault((len(near), len(distant) if far else 0), []).append(window)

    def rows(windows: list[int], side: int) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        seen = [split[window][side] for window in windows]
        numbers = torch.tensor([[one.index for one in row] for row in seen], dtype=torch.long)
        shifts = torch.tensor([[one.shift for one in row] for row in seen], dtype=torch.float64)
        numbers = numbers.reshape(len(windows), -1).to(like.device)
        if not shifts.any():
            return numbers, None
        cos, sin = turned(shifts)
        return numbers, (cos[:, :, None, None], sin[:, :, None, None])

    for (_, distant), windows in alike.items():
        members = torch.tensor(windows, dtype=torch.long, device=like.device)
        near, near_turns = rows(windows, 0)
        none = (near[:, :0], None)
        yield Group(members, near, near_turns, *(rows(windows, 1) if distant else none))
