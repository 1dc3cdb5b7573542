"""Pictures and sounds to tokens and back."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from compose_core.errors import ShapeError

__all__ = ["patchify", "unpatchify"]


def patchify(x: Tensor, patch: int, axes: int) -> Tensor:
    """Cut the last `axes` axes into patches: `(..., C, *spatial)` to `(..., T, C patch^axes)`.

    Tokens are in reading order; a token holds its channels one after the other, so the stems of a
    sound share a token.

    Raises:
        ShapeError: An axis is no whole number of patches.
    """
    spatial = x.shape[-axes:]
    if any(cells % patch for cells in spatial):
        raise ShapeError(
            "an object is no whole number of patches",
            got=tuple(spatial),
            expected=f"multiples of {patch}",
        )
    lead = x.dim() - axes  # channels are at lead - 1
    for axis in range(axes):
        x = x.unflatten(lead + 2 * axis, (-1, patch))
    counts = [lead + 2 * axis for axis in range(axes)]
    inside = [lead + 2 * axis + 1 for axis in range(axes)]
    x = x.permute(*range(lead - 1), *counts, lead - 1, *inside)
    return x.flatten(lead - 1 + axes).flatten(lead - 1, lead - 2 + axes)


def unpatchify(tokens: Tensor, patch: int, spatial: Sequence[int]) -> Tensor:
    """The inverse: `(..., T, C patch^axes)` to `(..., C, *spatial)`."""
    axes = len(spatial)
    lead = tokens.dim() - 2
    counts = [cells // patch for cells in spatial]
    x = tokens.unflatten(-1, (-1, *[patch] * axes)).unflatten(lead, counts)
    # (..., *counts, C, *inside): bring each count beside its inside.
    order = [*range(lead), lead + axes]
    for axis in range(axes):
        order += [lead + axis, lead + axes + 1 + axis]
    x = x.permute(order)
    for axis in range(axes):
        x = x.flatten(lead + 1 + axis, lead + 2 + axis)
    return x
