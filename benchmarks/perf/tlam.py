"""TLAM: its fast path against the naive block over pixels, `nn.MultiheadAttention` and all.

Bars, at the paper's size (d = 96, 3 layers, 3 heads, 5 labels): training at 128 x 128 in at most
0.15 of the memory with gradients equal to 1e-4 relative; looking in at most 0.2 of the memory; and
a forward pass in at most 0.75 of the time on a CPU. A picture of 64 x 64 by a painter of the size
of `tlam-tiny` takes under 0.2 s on two cores, by the clock.

On a GPU pictures of 256 x 256 and 512 x 512 are also merged, where attention over all pixels at
once may not launch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import measure
import torch
from torch import Tensor

from compose_tlam.labels import PRIMITIVES
from compose_tlam.merge import TLAM
from compose_tlam.merge.reference import NaiveTLAM
from compose_tlam.model import Config, Painter
from compose_tlam.stack import LabelStack
from compose_tlam.testing import random_stack

SIDE, SMALL = 128, 64
TINY: dict[str, Any] = {"tile": 4, "learned": 4, "narrow": 32, "deep": 80, "pixel": 24}


def main() -> None:
    """Time in turns, then measure memory and gradients."""
    torch.set_num_threads(1)
    options = measure.arguments(__doc__, rounds=5)
    torch.manual_seed(0)
    fast = TLAM(PRIMITIVES)
    naive = NaiveTLAM(fast)
    wide, small = stack_of(SIDE), stack_of(SMALL)
    memory: dict[str, Callable[[], object]] = {
        "training": lambda: trained(fast, wide),
        "training_naive": lambda: trained(naive, wide),
        "looking": lambda: looked(fast, wide),
        "looking_naive": lambda: looked(naive, wide),
    }
    if options.peak:  # what is loaded at the first backward pass is not what a pass needs
        trained(fast, stack_of(8))
        trained(naive, stack_of(8))
    if measure.peak_asked(options, memory):
        return
    seconds = measure.in_turns(
        {"fast": lambda: looked(fast, small), "naive": lambda: looked(naive, small)},
        options.rounds,
    )
    peaks = measure.peaks(memory)
    row: dict[str, Any] = {
        "seconds": measure.medians(seconds),
        "fast_over_naive": measure.ratio(seconds, "fast", "naive"),
        "peak_megabytes": peaks,
        "training_memory": peaks["training"] / peaks["training_naive"],
        "looking_memory": peaks["looking"] / peaks["looking_naive"],
        "gradient_error": gradient_error(fast, naive, small),
        "picture_seconds": picture(),
    }
    if torch.cuda.is_available():
        row["cuda"] = on_gpu(fast, naive)
    measure.write("tlam", row, options.out)


def stack_of(side: int) -> LabelStack:
    """Labels of noise, one picture."""
    return random_stack((1, side, side), torch.Generator().manual_seed(0))


def trained(merger: TLAM | NaiveTLAM, stack: LabelStack) -> None:
    """One pass forth and back."""
    merger.zero_grad(set_to_none=True)
    torch.autograd.backward(merger(stack).square().mean())


@torch.no_grad()
def looked(merger: TLAM | NaiveTLAM, stack: LabelStack) -> Tensor:
    """One pass."""
    return merger(stack)


def gradient_error(fast: TLAM, naive: NaiveTLAM, stack: LabelStack) -> float:
    """Largest relative error of the gradients of the projections."""
    trained(fast, stack)
    trained(naive, stack)
    errors: list[float] = []
    for name in PRIMITIVES.names:
        a, b = fast.projection.matrix[name].grad, naive.project[name].weight.grad
        assert isinstance(a, Tensor) and isinstance(b, Tensor)
        errors.append(float((a - b).norm() / b.norm()))
    return max(errors)


def picture() -> float:
    """Seconds by the clock for one picture of 64 x 64 on two cores, the median of five."""
    merging = {"width": 24, "layers": 2, "ratio": 2.0}
    painter = Painter(Config(labels=PRIMITIVES, merging=merging, painting=TINY)).eval()
    stack = stack_of(SMALL)
    taken: list[float] = []
    torch.set_num_threads(2)
    with torch.no_grad():
        for _ in range(6):
            start = time.perf_counter()
            painter(stack)
            taken.append(time.perf_counter() - start)
    torch.set_num_threads(1)
    return median(taken[1:])  # the first one loads


def on_gpu(fast: TLAM, naive: NaiveTLAM) -> dict[str, Any]:
    """Milliseconds and megabytes of both on a GPU; an error where one of them does not run."""
    found: dict[str, Any] = {}
    for side in (256, 512):
        stack = stack_of(side).to("cuda")
        for name, merger in (("fast", fast), ("naive", naive)):
            found[f"{name}_{side}"] = _timed(merger.to("cuda"), stack)
    return found


def _timed(merger: TLAM | NaiveTLAM, stack: LabelStack) -> dict[str, float] | str:
    try:
        trained(merger, stack)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        trained(merger, stack)
        torch.cuda.synchronize()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    peak = torch.cuda.max_memory_allocated() / 2**20
    return {"milliseconds": 1e3 * (time.perf_counter() - start), "peak_megabytes": peak}


if __name__ == "__main__":
    main()
