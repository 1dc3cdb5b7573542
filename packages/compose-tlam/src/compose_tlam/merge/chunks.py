"""A function of pixels in pieces, recomputed in the backward pass: exact, in little memory.

Autograd keeps about 48 copies of the tokens of a naive transformer over pixels: 5.7 GiB for one
picture of 256 x 256. Pixels do not see each other here, so a piece of them at a time is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["CPU_NUMBERS", "GPU_LAUNCH", "GPU_PIXELS", "Function", "in_chunks", "pieces"]

CPU_NUMBERS = 2**17
"""Numbers in the tokens of a piece on a CPU, half a MiB: they stay in its cache."""

GPU_PIXELS = 16_384
"""Pixels of a piece on a GPU."""

GPU_LAUNCH = 65_535
"""Attention kernels count pixels, or pixels times heads, in one dimension of a launch, which may
not exceed this."""

Function = Callable[[Sequence[Tensor]], Tensor]


def pieces(
    count: int, device: torch.device, chunk: int | None = None, row: int = 128
) -> list[tuple[int, int]]:
    """Bounds of pieces of `count` pixels, each with `row` numbers in its tokens."""
    size = chunk or (max(CPU_NUMBERS // row, 1) if device.type == "cpu" else GPU_PIXELS)
    return [(start, min(start + size, count)) for start in range(0, max(count, 1), size)]


def in_chunks(
    function: Function,
    inputs: Sequence[Tensor],
    module: nn.Module,
    chunk: int | None = None,
    *,
    recompute: bool = True,
    row: int = 128,
) -> Tensor:
    """`function(inputs)` piece by piece along the first axis.

    Args:
        function: Of tensors (P, ...) and the parameters of `module` to rows (P, d); each row
            depends on its own row of the inputs only. It draws no random numbers.
        inputs: All with P rows.
        module: Holds the parameters that get gradients.
        chunk: Rows of a piece; by default what suits the device.
        recompute: Whether the backward pass computes each piece again; else all is kept, which is
            a third faster and takes as much memory as it does.
        row: Numbers in the tokens of one row, which decide what suits a CPU.
    """
    bounds = pieces(len(inputs[0]), inputs[0].device, chunk, row)
    parameters = [p for p in module.parameters() if p.requires_grad]
    needed = torch.is_grad_enabled() and (parameters or any(x.requires_grad for x in inputs))
    if not needed:
        return _forward(function, inputs, bounds)
    if not recompute:
        return torch.cat([function([x[start:stop] for x in inputs]) for start, stop in bounds])
    return _Recomputed.apply(function, bounds, len(inputs), *inputs, *parameters)  # type: ignore


def _forward(
    function: Function, inputs: Sequence[Tensor], bounds: list[tuple[int, int]]
) -> Tensor:
    out: Tensor | None = None
    for start, stop in bounds:
        part = function([x[start:stop] for x in inputs])
        if out is None:
            out = part.new_empty(len(inputs[0]), *part.shape[1:])
        out[start:stop] = part
    assert out is not None
    return out


class _Recomputed(torch.autograd.Function):
    """Keeps the inputs only."""

    @staticmethod
    def forward(
        ctx: Any, function: Function, bounds: list[tuple[int, int]], count: int, *tensors: Tensor
    ) -> Tensor:
        device = tensors[0].device.type
        ctx.function, ctx.bounds, ctx.count, ctx.device = function, bounds, count, device
        ctx.enabled = torch.is_autocast_enabled(device)
        ctx.dtype = torch.get_autocast_dtype(device)
        ctx.save_for_backward(*tensors)
        # A cast that is cached here, without gradients, would be found again in the backward.
        with torch.autocast(device, ctx.dtype, enabled=ctx.enabled, cache_enabled=False):
            return _forward(function, tensors[:count], bounds)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,) = grads
        inputs, parameters = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        wanted = ctx.needs_input_grad[3 : 3 + ctx.count]
        whole = [torch.zeros_like(x) if w else None for x, w in zip(inputs, wanted, strict=True)]
        sums: list[Tensor | None] = [None] * len(parameters)
        for start, stop in ctx.bounds:
            leaves = [
                x[start:stop].detach().requires_grad_(w)
                for x, w in zip(inputs, wanted, strict=True)
            ]
            asked = [leaf for leaf, w in zip(leaves, wanted, strict=True) if w]
            with (
                torch.enable_grad(),
                torch.autocast(ctx.device, ctx.dtype, enabled=ctx.enabled, cache_enabled=False),
            ):
                part = ctx.function(leaves)
            found = torch.autograd.grad(
                part, [*asked, *parameters], grad[start:stop], allow_unused=True
            )
            for n, own in enumerate(found[len(asked) :]):
                known = sums[n]
                if own is not None:
                    sums[n] = own if known is None else known.add_(own)
            rest = iter(found[: len(asked)])
            for store in whole:
                if store is not None and (own := next(rest)) is not None:
                    store[start:stop] = own
        return None, None, None, *whole, *sums
