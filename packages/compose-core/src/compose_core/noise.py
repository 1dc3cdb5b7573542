"""Gaussian noise, always from an explicit generator.

A list of generators, one per sample, makes each sample independent of the batch that it is drawn
in. Noise is drawn where the generator lives and then moved, so a CPU generator gives the same
noise on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from compose_core.errors import ShapeError, UsageError

Generators: TypeAlias = torch.Generator | list[torch.Generator]
"""One generator for a whole batch, or one for each sample."""


def normal(
    shape: Sequence[int],
    generator: Generators | None,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal noise.

    Args:
        shape: `(B, ...)`.
        generator: One generator, or a list of B; each then draws its own row.
        device: Where the noise goes; by default it stays where it was drawn.
        dtype: float32 and float64 are drawn as such, narrower ones are rounded from float32.

    Raises:
        UsageError: There is no generator.
        ShapeError: The list has not one generator per sample.
    """
    drawn = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    if generator is None:
        raise UsageError(
            "noise needs a generator",
            got=None,
            expected="a torch.Generator, or one per sample",
            remedy="pass generator=torch.Generator().manual_seed(seed)",
        )
    if isinstance(generator, torch.Generator):
        return _draw(shape, generator, drawn).to(device=device, dtype=dtype)
    if len(generator) != shape[0]:
        raise ShapeError(
            "one generator per sample is needed", got=len(generator), expected=shape[0]
        )
    rows = [_draw((1, *shape[1:]), g, drawn).to(device=device, dtype=dtype) for g in generator]
    return torch.cat(rows)


def normal_like(x: Tensor, generator: Generators | None) -> Tensor:
    """Standard normal noise of the shape, device and dtype of `x`; see `normal`."""
    return normal(x.shape, generator, device=x.device, dtype=x.dtype)


def _draw(shape: Sequence[int], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, device=generator.device, dtype=dtype)
