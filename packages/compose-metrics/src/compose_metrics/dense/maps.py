"""Dense maps as metrics take them: (B, H, W), of one shape, finite where they count."""

from __future__ import annotations

import torch
from torch import Tensor

from compose_core.errors import ComposeError, ShapeError
from compose_metrics.table import listed


def plain(values: Tensor, what: str) -> Tensor:
    """A map (B, H, W) of one (B, H, W) or (B, 1, H, W).

    Raises:
        ShapeError: Another shape, or nothing in it.
    """
    if values.dim() == 4 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dim() != 3 or values.numel() == 0:
        raise ShapeError(
            f"{what} is not a map", got=tuple(values.shape), expected="(B, H, W) or (B, 1, H, W)"
        )
    return values


def same(first: Tensor, second: Tensor, what: str) -> None:
    """Check that two maps lie on the same pixels.

    Raises:
        ShapeError: Their batches or sizes differ.
    """
    if first.shape != second.shape:
        raise ShapeError(
            f"{what} do not lie on the same pixels",
            got=f"{tuple(first.shape)} and {tuple(second.shape)}",
            expected="one batch at one resolution",
            remedy="resize one of them first: the resolution changes the value",
        )


def real(predicted: Tensor, truth: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """Two maps of real numbers, (B, H, W) float64 each, on the same pixels.

    Raises:
        ShapeError: Shapes differ, or a map holds integers.
    """
    first, second = plain(predicted, f"predicted {what}"), plain(truth, f"true {what}")
    same(first, second, f"predicted and true {what}")
    if not (first.is_floating_point() and second.is_floating_point()):
        raise ShapeError(f"{what} is not real", got=(first.dtype, second.dtype), expected="float")
    return first.double(), second.double()


def counted(valid: Tensor | None, *maps: Tensor, what: str) -> Tensor:
    """The pixels that count: (B, H, W) bool, at least one in each picture.

    Args:
        valid: The caller's choice, or None for all pixels.
        maps: Maps (B, H, W) or (B, C, H, W), which have to be finite there.
        what: What they show, for messages.

    Raises:
        ShapeError: `valid` is of another shape or dtype.
        ComposeError: A picture without a pixel that counts, or a value that is not finite; the
            message names the pictures of the batch.
    """
    shape = (maps[0].shape[0], *maps[0].shape[-2:])
    if valid is None:
        valid = torch.ones(shape, dtype=torch.bool, device=maps[0].device)
    valid = plain(valid, "valid")
    if valid.dtype != torch.bool or tuple(valid.shape) != tuple(shape):
        raise ShapeError(
            f"valid pixels of {what} are not a mask of its pixels",
            got=f"{valid.dtype} {tuple(valid.shape)}",
            expected=f"bool {tuple(shape)}",
        )
    empty = ~valid.flatten(1).any(1)
    refuse(empty, f"no pixel of the {what} is valid")
    for values in maps:
        finite = values.isfinite() if values.dim() == 3 else values.isfinite().all(1)
        broken = (valid & ~finite).flatten(1).any(1)
        refuse(broken, f"the {what} is not a finite number in valid pixels")
    return valid


def refuse(bad: Tensor, what: str) -> None:
    """Name the pictures (B,) bool that cannot be measured.

    Raises:
        ComposeError: There are any.
    """
    if bool(bad.any()):
        raise ComposeError(
            what,
            got=f"pictures {listed(bad.nonzero().flatten().tolist())} of the batch",
            remedy="leave out these pictures, or pixels (valid=)",
        )


def mean_over(values: Tensor, valid: Tensor) -> Tensor:
    """Mean (B,) of values (B, H, W) over the valid pixels of each picture."""
    zero = torch.zeros((), dtype=values.dtype, device=values.device)
    return torch.where(valid, values, zero).sum((1, 2)) / valid.sum((1, 2))
